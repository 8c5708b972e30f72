"""What makes scores comparable: the identity of a measure's scores in a run."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import torch

from lowland.core.config import ComputeConfig
from lowland.core.device import resolve
from lowland.workflow.identity import measure_identity
from lowland.workflow.presets import assemble


def session(precision: str = "fp32", **sections: Any) -> Any:
    """As much of a session as an identity looks at."""
    config = assemble({"compute": {"device": "cpu", "precision": precision}, **sections})
    return SimpleNamespace(
        config=config, supernet_digest="abc", compute=resolve(config.compute), data=SimpleNamespace(search=range(30))
    )


def identity(**sections: Any) -> dict[str, Any]:
    found = session(**sections)
    held: dict[str, Any] = json.loads(measure_identity(found, found.config.measure))
    return held


def test_it_holds_the_resolved_precision() -> None:
    auto = {None: "fp32", torch.bfloat16: "bf16"}[resolve(ComputeConfig(device="cpu")).autocast_dtype]
    for name in ("fp32", "bf16"):
        assert identity(precision=name)["precision"] == name
    assert identity(precision="auto") == identity(precision=auto)


def test_it_holds_seed_supernet_and_fine_tuning() -> None:
    plain = identity()
    assert (plain["seed"], plain["supernet"], "finetune" in plain) == (0, "abc", False)
    assert identity(seed=1) != plain
    assert identity(finetune={"epochs": 2})["finetune"]["epochs"] == 2
    raced = session()
    assert json.loads(measure_identity(raced, raced.config.measure, raced=30))["raced"] == 30


def test_only_what_the_asked_measures_declare_is_in_it() -> None:
    accuracy = {"name": "accuracy"}
    plain = identity(measure=accuracy)
    for other in (
        {"draws": 5},
        {"noise_images": 9},
        {"untrained_batch": 9},
        {"combine": "rank"},
        {"options": {"flatness": {"alpha": 0.0}, "robustness": {"sigma": 0.3}}},
    ):
        assert identity(measure=accuracy | other) == plain
    for own in ({"images": 9}, {"batch_size": 9}, {"calibration": "batch"}, {"calibration_images": 9}):
        assert identity(measure=accuracy | own) != plain
    written = {"name": "accuracy+flatness(alpha=0.5)"}
    assert identity(measure=written) != identity(measure={"name": "accuracy+flatness"})
    assert [part["label"] for part in identity(measure=written)["measure"]["sum"]] == [
        "accuracy",
        "flatness(alpha=0.5)",
    ]


def test_one_way_of_writing_a_setting_is_the_other() -> None:
    expression = identity(measure={"name": "robustness(sigma=0.2, draws=3)"})
    assert expression == identity(measure={"name": "robustness", "options": {"robustness": {"sigma": 0.2, "draws": 3}}})


def test_the_scale_of_a_hessian_direction_is_told_only_where_it_is_not_the_old_one() -> None:
    """Archives from before `hessian_scale` hold its scale `noise` without a word."""

    def flat(**options: Any) -> dict[str, Any]:
        return identity(measure={"name": "flatness", "options": {"flatness": options}})

    assert flat() == flat(hessian_scale="noise") == flat(hessian_scale="unit")
    assert "hessian_scale" not in flat()["measure"]["options"]
    old, new = flat(direction="hessian", hessian_scale="noise"), flat(direction="hessian")
    assert "hessian_scale" not in old["measure"]["options"]
    assert new["measure"]["options"] == old["measure"]["options"] | {"hessian_scale": "unit"}
    both = identity(measure={"name": "accuracy+flatness(direction=hessian)"})["measure"]["sum"]
    assert both[1]["options"]["hessian_scale"] == "unit"
