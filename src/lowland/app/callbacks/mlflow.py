"""MLflow: a run of its tracking server or local database for each run of lowland."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from lowland.app.callbacks.curves import Curves, final_figures, parameters
from lowland.core.errors import InterruptedRun
from lowland.core.monitor import Start

if TYPE_CHECKING:
    from lowland.workflow.result import RunResult

TAG = "lowland.run"
"""Tag of an MLflow run: the absolute path of the run directory."""

MOST_SECONDS = 5.0
"""Points wait at most about this long before they are sent together …"""

MOST_POINTS = 500
"""… or until they are so many; MLflow takes at most 1000."""

MOST_PARAMETERS = 100
"""MLflow takes at most this many at once."""

MOST_CHARACTERS = 6000
"""Of a parameter's value; MLflow takes no longer one."""


class MLflow(Curves):
    """Sends curves as metrics, settings as parameters, and the suites' figures as metrics at the network's rank.

    Where to is MLflow's own to say: `MLFLOW_TRACKING_URI`, or else `mlflow.db` in the present folder. A resumed run
    goes on in the MLflow run of its directory, where there is one.

    Args:
        experiment: Name of the experiment; None: `MLFLOW_EXPERIMENT_NAME`, or else lowland.
        uri: Where to send; None: as above.
    """

    def __init__(self, experiment: str | None = None, uri: str | None = None) -> None:
        super().__init__()
        self._experiment = experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "lowland"
        self._uri = uri
        self._client: MlflowClient | None = None
        self._run = ""
        self._points: list[Metric] = []
        self._sent = 0.0

    def on_start(self, start: Start) -> None:
        """Find or make the MLflow run; send settings, versions and plan."""
        self._client = MlflowClient(tracking_uri=self._uri)
        known = self._client.get_experiment_by_name(self._experiment)
        experiment = known.experiment_id if known is not None else self._client.create_experiment(self._experiment)
        path = str(start.path.absolute())
        self._run = (_found(self._client, experiment, path) if start.resumed else "") or self._client.create_run(
            experiment, run_name=start.path.absolute().name, tags={TAG: path}
        ).info.run_id
        self._client.update_run(self._run, status="RUNNING")
        if start.plan:
            self._client.set_tag(self._run, "lowland.plan", start.plan)
        for name, value in start.facts.items():
            self._client.set_tag(self._run, f"environment.{name}", str(value))
        # A parameter of MLflow never changes, but settings of a resumed run may.
        sent = self._client.get_run(self._run).data.params
        params = [Param(_name(name), str(value)[:MOST_CHARACTERS]) for name, value in parameters(start.config).items()]
        for param in params:
            if param.key in sent and sent[param.key] != param.value:
                self._client.set_tag(self._run, f"changed.{param.key}", param.value)
        new = [param for param in params if param.key not in sent]
        for first in range(0, len(new), MOST_PARAMETERS):
            self._client.log_batch(self._run, params=new[first : first + MOST_PARAMETERS])
        self._sent = time.monotonic()

    def point(self, stage: str, done: int, figures: Mapping[str, float]) -> None:
        """Send soon."""
        self._add(stage, figures, done)
        if len(self._points) >= MOST_POINTS or time.monotonic() - self._sent >= MOST_SECONDS:
            self._send()

    def on_stage_end(self, stage: str, seconds: float) -> None:
        """Send what waits."""
        self._add("seconds", {stage: seconds}, 0)
        self._send()

    def on_end(self, result: RunResult) -> None:
        """Send the figures of each delivered network at its rank."""
        for rank, figures in final_figures(result):
            self._add("networks", figures, rank)
        self._finish("FINISHED")

    def on_failure(self, error: BaseException) -> None:
        """Say that the run was stopped, or that it failed."""
        self._finish("KILLED" if isinstance(error, InterruptedRun | KeyboardInterrupt) else "FAILED")

    def _add(self, group: str, figures: Mapping[str, float], step: int) -> None:
        stamp = int(time.time() * 1000)
        self._points += [Metric(_name(f"{group}/{name}"), value, stamp, step) for name, value in figures.items()]

    def _send(self) -> None:
        points, self._points, self._sent = self._points, [], time.monotonic()
        if points and self._client is not None:
            self._client.log_batch(self._run, metrics=points)

    def _finish(self, status: str) -> None:
        self._send()
        if self._client is not None and self._run:
            self._client.set_terminated(self._run, status=status)


def _found(client: MlflowClient, experiment: str, path: str) -> str:
    """The newest MLflow run of this run directory; empty where there is none."""
    token: Any = None
    while True:
        page = client.search_runs([experiment], order_by=["attributes.start_time DESC"], page_token=token)
        for each in page:
            if each.data.tags.get(TAG) == path:
                return str(each.info.run_id)
        token = page.token
        if not token:
            return ""


def _name(text: str) -> str:
    """A name in the characters that MLflow allows."""
    return re.sub(r"[^\w\-. /:]", "_", text)
