"""`lowland status` tells how workers stand."""

from __future__ import annotations

from pathlib import Path

from lowland.app.display import status_lines
from lowland.core.monitor import Monitor
from lowland.store.run import Run
from lowland.workflow.recorded import Recorded
from whole_runs import made

FACTS = {"alive": 2, "running": 1, "lost": 3, "retried": 4, "copied": 0, "rate": 1.5}


def test_while_workers_score_status_tells_how_they_stand(tmp_path: Path) -> None:
    path = made(tmp_path / "run", last="supernet")
    with Run.open(path) as run:
        run.start_stage("search")
        recorded = Recorded(run, Monitor(), "search")
        recorded.start("search", 10, "network")
        recorded.follow(lambda: FACTS)
        recorded.advance(1)
        status = run.status()
        assert status["progress"]["workers"] == FACTS
        (line,) = [line for line in status_lines(status) if "workers alive" in line]
        assert line.strip() == "2 workers alive, 1 running, 1.5 tasks/s, 4 retried, 3 workers lost"
        status["progress"]["workers"]["gpus"] = 2
        (line,) = [line for line in status_lines(status) if "workers alive" in line]
        assert line.strip().startswith("2 workers alive on 2 GPUs, 1 running, ")
        recorded.follow(None)
        recorded.advance(10)
        assert "workers" not in run.status()["progress"]
