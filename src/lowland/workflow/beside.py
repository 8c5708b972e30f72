"""`lowland report A B …`: runs, which are only read, side by side on one page."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

from lowland._version import __version__
from lowland.core.errors import ConfigError, RunError
from lowland.core.torch_settings import settings_kept
from lowland.report import beside_page
from lowland.report.beside import beside
from lowland.store.run import Run
from lowland.workflow import plugins


@settings_kept()
def side_by_side(paths: Sequence[Path], out: Path) -> Path:
    """Write a page of several runs, whatever stages of each are done.

    Args:
        paths: Run directories, at least two, each once.
        out: The file, outside of them.

    Returns:
        The file.

    Raises:
        ConfigError: a run is named twice.
        RunError: a run is damaged, or `out` lies within one or cannot be written.
    """
    places = [path.resolve() for path in paths]
    for path, place in zip(paths, places, strict=True):
        if places.count(place) > 1:
            raise ConfigError(f"run {path} is named twice; name each once")
        if place in out.resolve().parents:
            raise RunError(f"--out {out} lies in the run {path}, which is only read; choose a file outside of the runs")
    with ExitStack() as stack:
        opened = [stack.enter_context(Run.open(path, read_only=True)) for path in paths]
        for run in opened:
            plugins.require(run)
        found = beside([(str(path), run) for path, run in zip(paths, opened, strict=True)])
    beside_page.write(found, out, __version__)
    return out
