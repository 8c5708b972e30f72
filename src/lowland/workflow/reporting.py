"""The report by itself, of a run that is finished or not: read from its directory, without torch where it can be."""

from __future__ import annotations

from pathlib import Path

from lowland.core.errors import RunError
from lowland.core.memory import ShortageTold
from lowland.core.monitor import Monitor
from lowland.report import write
from lowland.report.gather import gather
from lowland.store import lock
from lowland.store.manifest import LOCK
from lowland.store.run import Run
from lowland.workflow import plugins
from lowland.workflow.stages.report import write_report


def report(path: Path | str, out: Path | None = None) -> Path:
    """Write a report from whatever stages of the run at `path` are done.

    Args:
        path: Run directory.
        out: File outside the run to write; the run is then only read, also while it goes on. None: report.html in it.

    Returns:
        The file.

    Raises:
        RunError: the run is damaged; memory ran short; or another process writes it, and no `out` is given; or `out`
            lies within it.
    """
    path = Path(path)
    if out is not None:
        if path.resolve() in out.resolve().parents:
            raise RunError(f"--out {out} lies in the run itself, which is only read; choose a file outside {path}")
        with Run.open(path, read_only=True) as opened, ShortageTold(f"in a report of {path}"):
            plugins.require(opened)
            write(gather(opened), out)
        return out
    if lock.held(path / LOCK):
        raise RunError(
            f"{path} is in use by {lock.owner(path / LOCK) or 'another process'}: wait until it has finished, or write "
            f"a report of what there is now elsewhere: `lowland report {path} --out report.html`"
        )
    with Run.open(path) as opened, ShortageTold(f"in stage report of {path}"):
        plugins.require(opened)
        if opened.stage_done("report"):
            opened.reset_stage("report")
        if opened.stage_done("evaluate"):
            opened.start_stage("report", 1)
        write_report(opened, Monitor())
    return path / "report.html"
