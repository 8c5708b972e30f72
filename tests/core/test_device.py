from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import torch
from torch import nn

from lowland.core import device
from lowland.core.config import ComputeConfig
from lowland.core.device import Compute, environment, native_bf16, resolve
from lowland.core.errors import ConfigError
from lowland.core.threads import usable_threads
from lowland.core.torch_settings import settings_kept

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def others_notice_nothing() -> Iterator[None]:
    with settings_kept():
        yield


def test_auto_picks_what_this_machine_has() -> None:
    compute = resolve(ComputeConfig())
    kind = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    assert compute.device.type == kind
    assert compute.threads == usable_threads() == torch.get_num_threads()
    assert compute.channels_last
    if kind == "cpu":
        assert compute.autocast_dtype == (torch.bfloat16 if native_bf16(CPU) else None)


@pytest.mark.parametrize(
    ("capabilities", "native"),
    [
        ({}, False),
        ({"avx512_bf16": True}, True),
        ({"amx_bf16": True}, True),
        ({"bf16": True}, True),
        ({"avx2": 1}, False),
    ],
)
def test_reduced_precision_is_chosen_where_the_processor_has_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], native: bool
) -> None:
    # Not there before torch 2.13.
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert native_bf16(CPU) == native
    compute = resolve(ComputeConfig(device="cpu"))
    assert compute.autocast_dtype == (torch.bfloat16 if native else None)


@pytest.mark.parametrize(("capability", "dtype"), [((7, 5), torch.float16), ((8, 0), torch.bfloat16)])
def test_each_process_takes_its_own_gpu(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], dtype: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    for rank, index in (("0", 0), ("1", 1), ("3", 1)):
        monkeypatch.setenv("LOCAL_RANK", rank)
        for name in ("auto", "cuda"):
            assert resolve(ComputeConfig(device=name)).device == torch.device("cuda", index)
    monkeypatch.delenv("LOCAL_RANK")
    assert resolve(ComputeConfig()).device == torch.device("cuda", 0)
    assert resolve(ComputeConfig()).autocast_dtype == dtype
    assert resolve(ComputeConfig(device="cuda:1")).device == torch.device("cuda", 1)
    with pytest.raises(
        ConfigError, match=r"compute.device='cuda:2' is not available here; this machine has cpu, cuda:0, cuda:1"
    ):
        resolve(ComputeConfig(device="cuda:2"))


@pytest.mark.parametrize("name", ["gpu", "", "cuda:x", "cpu cuda", "CPU"])
def test_unknown_devices_are_refused(name: str) -> None:
    with pytest.raises(ConfigError) as raised:
        resolve(ComputeConfig(device=name))
    assert str(raised.value) == f"compute.device={name!r} is not a device; use auto, cpu, cuda, cuda:N or mps"


@pytest.mark.parametrize("name", ["cuda", "cuda:3", "mps", "xpu", "meta"])
def test_absent_devices_are_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ConfigError) as raised:
        resolve(ComputeConfig(device=name))
    assert str(raised.value) == f"compute.device={name!r} is not available here; this machine has cpu"


def test_half_precision_on_a_processor_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"compute.precision='fp16' trains badly on a CPU; use bf16, fp32 or auto"):
        resolve(ComputeConfig(device="cpu", precision="fp16"))
    assert resolve(ComputeConfig(device="cpu", precision="bf16")).autocast_dtype == torch.bfloat16
    assert resolve(ComputeConfig(device="cpu", precision="fp32")).autocast_dtype is None


def test_threads_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve(ComputeConfig(device="cpu", threads=3)).threads == 3
    assert torch.get_num_threads() == 3
    monkeypatch.setattr(device, "usable_threads", lambda: 2)
    assert resolve(ComputeConfig(device="cpu")).threads == 2
    assert torch.get_num_threads() == 2


def test_a_refused_device_changes_nothing() -> None:
    before = torch.get_num_threads()
    with pytest.raises(ConfigError):
        resolve(ComputeConfig(device="cpu", precision="fp16", threads=before + 1))
    assert torch.get_num_threads() == before


def test_one_gpu_for_several_processes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (9, 0))
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    with pytest.raises(ConfigError) as raised:
        resolve(ComputeConfig(device="cuda:1"))
    assert str(raised.value) == (
        "compute.device='cuda:1' would give all 2 processes of torchrun on this machine the same GPU; use cuda, which "
        "gives each its own"
    )
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "1")
    assert resolve(ComputeConfig(device="cuda:1")).device == torch.device("cuda", 1)


def test_nhwc_is_the_default_but_for_mps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    for name, usual in (("cpu", True), ("mps", False)):
        assert resolve(ComputeConfig(device=name)).channels_last is usual
        for chosen in (True, False):
            assert resolve(ComputeConfig(device=name, channels_last=chosen)).channels_last is chosen


@pytest.mark.parametrize("channels_last", [True, False])
def test_images_and_weights_lie_in_the_chosen_order(channels_last: bool) -> None:
    compute = Compute(device=CPU, channels_last=channels_last)
    order = torch.channels_last if channels_last else torch.contiguous_format
    x_NCHW = torch.randn(2, 3, 4, 4)
    placed = compute.place(x_NCHW)
    assert placed.is_contiguous(memory_format=order)
    assert torch.equal(placed, x_NCHW)
    assert compute.prepare(nn.Conv2d(3, 5, 3)).weight.is_contiguous(memory_format=order)


def test_autocast_reduces_products_only() -> None:
    x, layer = torch.randn(2, 3), nn.Linear(3, 4)
    with Compute(device=CPU).autocast():
        assert layer(x).dtype == torch.float32
    with Compute(device=CPU, autocast_dtype=torch.bfloat16).autocast():
        assert layer(x).dtype == torch.bfloat16
    assert layer.weight.dtype == torch.float32


def test_the_environment_is_told_in_json() -> None:
    facts = environment()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert {"lowland", "python", "torch", "torchvision", "numpy", "system", "processor", "cores"} == facts.keys()
    assert all(facts.values())
    for dtype, name in ((None, "fp32"), (torch.bfloat16, "bf16"), (torch.float16, "fp16")):
        facts = environment(Compute(device=CPU, autocast_dtype=dtype, threads=2))
        assert (facts["device"], facts["precision"], facts["threads"]) == ("cpu", name, 2)
        assert json.loads(json.dumps(facts)) == facts


def test_before_torch_2_13_bf16_is_still_recognised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    for native in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda native=native: native)
        assert device.native_bf16(torch.device("cpu")) is native
    assert json.dumps(device.environment())
