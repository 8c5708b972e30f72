"""Write a delivered network in other forms, each checked against it, with the outcome beside the file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from lowland.core.errors import ConfigError
from lowland.core.files import write_json
from lowland.data import Split
from lowland.delivery.agreement import Outcome, judge
from lowland.delivery.forms.form import Form, Request
from lowland.delivery.network import Network

STEM = "network"
"""What files are called where nobody says otherwise."""


def places(forms: Sequence[Form], out: Path | None) -> list[Path]:
    """Where each form is written.

    Args:
        forms: The forms.
        out: Of a single form its file; of several a folder. None: the current folder.

    Returns:
        A file for each, in their order.

    Raises:
        ConfigError: `out` is a folder where a file is wanted, or the other way round.
    """
    if len(forms) == 1 and out is not None:
        if out.is_dir():
            raise ConfigError(f"--out {out} is a folder; name the file to write, such as {out / forms[0].name}")
        return [out]
    folder = out or Path()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder} is a file; for several formats name a folder")
    return [folder / f"{STEM}{form.suffix}" for form in forms]


def export(
    network: Network,
    form: Form,
    path: Path,
    request: Request,
    images: tuple[Split, Tensor] | None,
    told: dict[str, Any],
) -> Outcome | None:
    """Write one form and, where there are images, what came of comparing it: `<file>.json`.

    Args:
        network: On the CPU.
        form: Its form.
        path: The file.
        request: How it is made.
        images: A split and which of its images to compare on; None: the file is not checked.
        told: What else the file beside it tells, such as the images' name and the environment.

    Returns:
        The outcome; None where nothing was compared.

    Raises:
        LowlandError: packages that the form needs are not installed, or the file cannot be written.
    """
    form.write(network, path, request)
    beside = path.with_name(f"{path.name}.json")
    if images is None:
        beside.unlink(missing_ok=True)  # of a file that is no more
        return None
    outcome = judge(form, path, network, request, *images)
    write_json(beside, {"file": path.name} | outcome.to_json() | told)
    return outcome
