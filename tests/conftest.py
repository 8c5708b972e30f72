"""Fixtures of the end-to-end tests: a command line in this process, and finished tiny runs."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from lowland.app import cli, console
from lowland.execution import local
from lowland.testing.toys import ToySpace
from toy_space import Recorder, toy_value
from whole_runs import DARTS, Command, Said, copied, made


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With `-n`, each process keeps to tests that stand together, so that what a file makes once is not made in each.

    Returns:
        The schedule `worksteal`, unless another than the default is asked for with `--dist`.
    """
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


@pytest.fixture
def lowland(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run the command line in this process, through its `main`."""

    def command(*arguments: str | Path) -> Said:
        capsys.readouterr()
        monkeypatch.setattr(sys, "argv", ["lowland", *map(str, arguments)])
        # Tables need room, whatever terminal the tests run in.
        monkeypatch.setattr(console, "out", Console(width=200))
        monkeypatch.setattr(console, "err", Console(width=200, stderr=True))
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        said = capsys.readouterr()
        return Said(code, said.out, said.err)

    return command


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Runs set the number of threads of the process; other tests must not notice."""
    torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def no_workers_by_chance() -> Iterator[None]:
    """A busy machine does not make a tiny run worth worker processes, which cost more than it; tests of them say so."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(local, "WORTH_SECONDS", math.inf)
        yield


@pytest.fixture
def eager_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the first task takes, workers are started, and all but that are left to them."""
    monkeypatch.setattr(local, "WORTH_SECONDS", 0.0)
    here = local.Workers._here
    monkeypatch.setattr(local.Workers, "_here", lambda self, *what: None if self._started else here(self, *what))


@pytest.fixture(autouse=True, scope="session")
def cache_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nothing is kept in the cache folder of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished NAS-Bench-201 run; never change it, copy it."""
    return made(tmp_path_factory.mktemp("finished") / "run")


@pytest.fixture(scope="session")
def pristine_darts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished DARTS run; never change it, copy it."""
    return made(tmp_path_factory.mktemp("finished") / "darts", DARTS)


@pytest.fixture(scope="session")
def supernet_only(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NAS-Bench-201 run that stopped after its supernet; never change it, copy it."""
    return made(tmp_path_factory.mktemp("supernet") / "run", last="supernet")


@pytest.fixture
def finished(pristine: Path, tmp_path: Path) -> Path:
    """A finished run of this test's own."""
    return copied(pristine, tmp_path / "run")


@pytest.fixture(scope="session")
def toy() -> ToySpace:
    return ToySpace()


@pytest.fixture(scope="session")
def make_toy() -> type[ToySpace]:
    return ToySpace


@pytest.fixture(scope="session")
def recorder() -> type[Recorder]:
    return Recorder


@pytest.fixture(scope="session")
def value_of():  # type: ignore[no-untyped-def]
    return toy_value
