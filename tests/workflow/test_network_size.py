"""Whether limits leave any network, told before anything is computed."""

from __future__ import annotations

from typing import Any

import pytest

from lowland.core.errors import BudgetError
from lowland.data import DataSet, load
from lowland.workflow import network_size
from lowland.workflow.presets import assemble


@pytest.fixture(scope="module")
def data() -> DataSet:
    return load(assemble({"data": {"name": "digits"}}).data, seed=0)


def test_where_widths_fit_the_limits_not_every_width_is_fitted(data: DataSet, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted, calls = network_size.fitted, []

    def counted(*arguments: Any, **settings: Any) -> Any:
        calls.append(arguments)
        return fitted(*arguments, **settings)

    monkeypatch.setattr(network_size, "fitted", counted)
    for limits in ({}, {"max_params": 100_000}, {"max_params": 100_000, "max_macs": 5_000_000}):
        network_size.check_limits(assemble({"search": limits}), data)
    assert len(calls) == 3  # the space has 15,625 genotypes


@pytest.mark.parametrize(
    ("network", "lower"),
    [
        ({}, ""),
        ({"cells": 2}, ", or lower network.cells"),
        ({"channels": 8}, ", or lower network.channels"),
        ({"channels": 8, "cells": 2}, ", or lower network.channels or network.cells"),
    ],
)
def test_a_refusal_advises_what_would_help(network: dict[str, Any], lower: str, data: DataSet) -> None:
    with pytest.raises(BudgetError) as caught:
        network_size.check_limits(assemble({"search": {"max_params": 100}, "network": {"cells": 1} | network}), data)
    message = str(caught.value)
    least = message.partition("the smallest has ")[2].partition(" parameters")[0].replace(",", "")
    assert message.endswith(f"raise search.max_params to {least}{lower}")
    settings = {"search": {"max_params": int(least)}, "network": {"cells": 1} | network}
    network_size.check_limits(assemble(settings), data)
