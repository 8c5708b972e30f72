"""A run told to a callback without being computed: a training of two epochs, a search, and two networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from lowland.app.callbacks import Callback, Calling
from lowland.core.config import Config
from lowland.core.monitor import Monitor, Start
from lowland.evaluation.section import Figure

NETWORKS = [
    {
        "rank": rank,
        "genotype": "g",
        "genes": [1],
        "parameters": 1000 * rank,
        "macs": 5000 * rank,
        "score": 3.5 / rank,
        "figures": [
            Figure(label="test top-1", value=90.0 - rank, standard_error=0.5, unit="%"),
            Figure(label="10 % worst", value=12.0, standard_error=None, unit=""),
        ],
    }
    for rank in (1, 2)
]


def start(path: Path, *, resumed: bool = False, **settings: Any) -> Start:
    return Start(
        path=path,
        created="2026-01-01",
        config=Config(**settings),
        resumed=resumed,
        stages=("supernet", "search"),
        plan="steps: 40 supernet",
        facts={"torch": "2.14", "threads": 1},
    )


def loss(step: int) -> float:
    """As the training loop tells it: read every ten steps, NaN before."""
    return 100.0 / (step // 10 * 10) if step >= 10 else float("nan")


def train(monitor: Monitor, first: int = 1, last: int = 40) -> None:
    monitor.enter("supernet")
    monitor.start("supernet", 40, "step", first - 1)
    for step in range(first, last + 1):
        monitor.advance(step, loss=loss(step), learning_rate=0.1 / step)


def search(monitor: Monitor) -> None:
    monitor.enter("search")
    monitor.start("search", 3, "network")
    for number, score in enumerate((1.0, 3.0, 2.0), start=1):
        monitor.advance(number, best=max(1.0, score), genotype="g", candidate="c", score=score)
    monitor.finish()
    monitor.leave("search", 7.0)


def ended() -> Any:
    return SimpleNamespace(networks=NETWORKS, stages=("supernet", "search", "train", "evaluate"), seconds={})


def whole(callback: Callback, path: Path) -> None:
    """All of it in one session."""
    monitor = Calling(Monitor(), [callback])
    monitor.begin(start(path))
    train(monitor)
    monitor.finish()
    monitor.leave("supernet", 12.0)
    search(monitor)
    monitor.end(ended())
    assert monitor.callbacks == [callback]  # it has not failed
