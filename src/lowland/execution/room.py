"""Room: how many processes an executor may have, and what each of them gets."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Room:
    """What an executor is given.

    Attributes:
        size: How many processes may compute at a time; None: as many as there is room for.
        gpus: GPUs of each process: 0, a fraction of one, or a whole number.
        threads: CPU threads of each process, for which it gets as many cores; what it prepares sets them.
    """

    size: int | None = None
    gpus: float = 0.0
    threads: int = 1
