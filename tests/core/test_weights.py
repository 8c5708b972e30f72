"""Checkpoints as strangers keep them: the right weights are taken and said, or it is asked which."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lowland.core.errors import RunError
from lowland.core.weights import read_weights

TRAINED = nn.Linear(3, 2).state_dict()
EMA = nn.Linear(3, 2).state_dict()


def named(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in state.items()}


KINDS: dict[str, tuple[Any, str]] = {
    "plain": (TRAINED, ""),
    "data parallel": (named(TRAINED, "module."), "names without 'module.'"),
    "compiled": (named(TRAINED, "_orig_mod."), "names without '_orig_mod.'"),
    "compiled in data parallel": (named(TRAINED, "module._orig_mod."), "names without 'module._orig_mod.'"),
    "model": ({"model": TRAINED, "epoch": 3, "optimizer": {"lr": 0.1}}, "those at 'model'"),
    "lightning": ({"state_dict": named(TRAINED, "net.")}, "those at 'state_dict', names without 'net.'"),
    "nested": ({"state_dict": {"model": TRAINED, "step": 3}}, "those at 'state_dict', those at 'model'"),
    "namespace": ({"model": TRAINED, "args": argparse.Namespace(lr=0.1, name="x")}, "those at 'model'"),
    "averaged alone": ({"model_ema": TRAINED}, "those at 'model_ema' (averaged over training)"),
    "averaged model": (
        {"n_averaged": torch.tensor(5), **named(TRAINED, "module.")},
        "averaged over training (n_averaged), names without 'module.'",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_weights_are_found_and_it_is_said_where(kind: str, tmp_path: Path) -> None:
    content, words = KINDS[kind]
    torch.save(content, tmp_path / "w.pt")
    state, said = read_weights(tmp_path / "w.pt", TRAINED.keys())
    assert said == words
    assert state.keys() == TRAINED.keys()
    assert all(torch.equal(state[name], TRAINED[name]) for name in TRAINED)


@pytest.mark.parametrize("average", ["ema", "model_ema", "state_dict_ema"])
def test_several_sets_are_asked_about(average: str, tmp_path: Path) -> None:
    torch.save({"state_dict": TRAINED, average: EMA}, tmp_path / "w.pt")
    with pytest.raises(RunError) as caught:
        read_weights(tmp_path / "w.pt", TRAINED.keys())
    assert str(caught.value) == (
        f"weights file {tmp_path / 'w.pt'} holds several sets of weights, state_dict, {average}; choose one with "
        f"--weights-key, such as --weights-key state_dict ({average}: averaged over training)"
    )
    state, said = read_weights(tmp_path / "w.pt", TRAINED.keys(), average)
    assert torch.equal(state["weight"], EMA["weight"])
    assert said == f"those at {average!r}"


class Thing:
    """Of somebody's."""


FAULTS: dict[str, tuple[Any, str | None, str]] = {
    "code": (
        {"model": TRAINED, "args": Thing()},
        None,
        "holds a .*Thing beside its tensors, .* convert it once",
    ),
    "other keys": (
        {"a": {"b": 1}, "c": 2},
        None,
        "no weights that are known: there are a, c, .* --weights-key",
    ),
    "no such key": ({"model": TRAINED}, "ema", "has no 'ema'; there are model"),
    "no state": ({"model": TRAINED, "epoch": 3}, "epoch", "holds no state dict at 'epoch'; there is a int"),
    "a list": ([TRAINED], None, "holds no state dict: what is there is a list"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_holds_no_weights_is_one_sentence(fault: str, tmp_path: Path) -> None:
    content, key, words = FAULTS[fault]
    torch.save(content, tmp_path / "w.pt")
    with pytest.raises(RunError, match=words) as caught:
        read_weights(tmp_path / "w.pt", TRAINED.keys(), key)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spoil", [lambda f: f.write_bytes(b""), lambda f: f.write_text("x"), lambda f: None])
def test_files_that_are_none(spoil: Callable[[Path], Any], tmp_path: Path) -> None:
    for name in ("w.pt", "w.safetensors"):
        spoil(tmp_path / name)
        with pytest.raises(RunError, match="weights file"):
            read_weights(tmp_path / name, TRAINED.keys())


def test_a_prefix_that_is_the_models_own_stays(tmp_path: Path) -> None:
    torch.save(named(TRAINED, "model."), tmp_path / "w.pt")
    assert read_weights(tmp_path / "w.pt", [f"model.{name}" for name in TRAINED])[1] == ""
