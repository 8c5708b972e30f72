from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from lowland.core.config import ComputeConfig
from lowland.core.device import Compute, resolve
from lowland.core.torch_settings import WORKSPACE, allow_tf32, be_deterministic, settings_kept, tf32

BACKENDS: Any = torch.backends


@pytest.fixture(autouse=True)
def others_notice_nothing(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv(WORKSPACE, raising=False)
    with settings_kept():
        yield


def state() -> tuple[Any, ...]:
    """All that may change, by the newer interface and the older one, which torch refuses to read where they differ."""
    return (
        torch.get_num_threads(),
        BACKENDS.cudnn.conv.fp32_precision,
        BACKENDS.cudnn.rnn.fp32_precision,
        BACKENDS.cuda.matmul.fp32_precision,
        BACKENDS.mkldnn.matmul.fp32_precision,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cuda.matmul.allow_tf32,
        torch.get_float32_matmul_precision(),
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        os.environ.get(WORKSPACE),
    )


def as_torch_begins() -> None:
    """Nothing of it set."""


def with_tf32() -> None:
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True


def without_tf32() -> None:
    torch.backends.cudnn.allow_tf32 = False
    torch.use_deterministic_algorithms(True, warn_only=True)
    os.environ[WORKSPACE] = ":16:8"


@pytest.mark.parametrize("before", [as_torch_begins, with_tf32, without_tf32])
def test_everything_is_put_back(before: Any) -> None:
    before()
    expected = state()

    @settings_kept()
    def work(fail: bool) -> None:
        torch.set_num_threads(expected[0] + 1)
        allow_tf32(False)
        be_deterministic()
        with tf32(True):
            assert state() != expected
        assert state() != expected
        if fail:
            raise ZeroDivisionError

    work(False)
    assert state() == expected
    with pytest.raises(ZeroDivisionError):
        work(True)
    assert state() == expected


def test_a_person_who_uses_the_newer_interface_alone_gets_it_back() -> None:
    BACKENDS.cuda.matmul.fp32_precision = "tf32"  # torch now refuses torch.get_float32_matmul_precision()
    with settings_kept():
        allow_tf32(False)
        assert BACKENDS.cuda.matmul.fp32_precision == "ieee"
    assert BACKENDS.cuda.matmul.fp32_precision == "tf32"
    assert BACKENDS.cudnn.conv.fp32_precision == "tf32"


@pytest.mark.parametrize("wanted", [False, True])
def test_tf32_is_for_training_alone_and_only_where_asked(monkeypatch: pytest.MonkeyPatch, wanted: bool) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    compute = resolve(ComputeConfig(device="cuda", precision="fp32", tf32=wanted))

    def precisions() -> set[str]:
        return {backend.fp32_precision for backend in (BACKENDS.cudnn.conv, BACKENDS.cudnn.rnn, BACKENDS.cuda.matmul)}

    assert precisions() == {"ieee"}
    with compute.training():
        assert precisions() == ({"tf32"} if wanted else {"ieee"})
        assert torch.backends.cudnn.allow_tf32 == torch.backends.cuda.matmul.allow_tf32 == wanted
    assert precisions() == {"ieee"}
    with pytest.raises(ZeroDivisionError), compute.training():
        raise ZeroDivisionError
    assert precisions() == {"ieee"}


def test_processors_know_no_tf32() -> None:
    expected = state()[1:]
    with resolve(ComputeConfig(device="cpu", threads=1, tf32=True)).training():
        assert state()[1:] == expected
    with Compute(device=torch.device("cpu")).training():
        assert state()[1:] == expected


def test_deterministic_algorithms_where_asked() -> None:
    resolve(ComputeConfig(device="cpu", threads=1))
    assert not torch.are_deterministic_algorithms_enabled()
    torch.backends.cudnn.benchmark = True
    resolve(ComputeConfig(device="cpu", threads=1, deterministic=True))
    assert torch.are_deterministic_algorithms_enabled()
    assert not torch.is_deterministic_algorithms_warn_only_enabled()
    assert not torch.backends.cudnn.benchmark
    assert os.environ[WORKSPACE] == ":4096:8"
