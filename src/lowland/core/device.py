"""Where and how the arithmetic runs: device, precision, memory format and CPU threads, resolved once per run."""

from __future__ import annotations

import contextlib
import os
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import torch
from torch import Tensor, nn

from lowland.core.config import ComputeConfig
from lowland.core.convolutions import with_right_gradients
from lowland.core.errors import ConfigError
from lowland.core.threads import available_cores, usable_threads
from lowland.core.torch_settings import allow_tf32, be_deterministic, tf32

M = TypeVar("M", bound=nn.Module)

_PRECISION_NAMES: Mapping[torch.dtype | None, Literal["fp32", "bf16", "fp16"]] = {
    None: "fp32",
    torch.bfloat16: "bf16",
    torch.float16: "fp16",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Compute:
    """A resolved place to compute.

    Attributes:
        device: The torch device.
        autocast_dtype: Reduced precision of activations, or None for fp32. Weights, noise and losses stay in fp32.
        channels_last: Keep images and convolution weights in NHWC memory order.
        threads: CPU threads used inside one operation.
        tf32: Whether fp32 arithmetic of training may round to TF32 on a GPU; judging and measuring never do.
    """

    device: torch.device
    autocast_dtype: torch.dtype | None = None
    channels_last: bool = True
    threads: int = 1
    tf32: bool = False

    def training(self) -> contextlib.AbstractContextManager[None]:
        """A context for training steps: TF32 where the settings allow it."""
        return tf32(True) if self.tf32 and self.device.type == "cuda" else contextlib.nullcontext()

    @property
    def precision(self) -> Literal["fp32", "bf16", "fp16"]:
        """What `autocast_dtype` is called in settings and figures."""
        return _PRECISION_NAMES[self.autocast_dtype]

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """A context in which convolutions and matrix products run in the chosen precision."""
        if self.autocast_dtype is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast_dtype)

    def place(self, x_NCHW: Tensor) -> Tensor:
        """An image batch on the device, in the chosen memory order."""
        x_NCHW = x_NCHW.to(self.device, non_blocking=True)
        return x_NCHW.contiguous(memory_format=torch.channels_last) if self.channels_last else x_NCHW

    def prepare(self, module: M) -> M:
        """A module on the device, its convolution weights in the chosen memory order.

        In bfloat16 on a CPU with convolutions whose gradients are right (`core.convolutions`).

        Returns:
            The module itself.
        """
        if self.device.type == "cpu" and self.autocast_dtype is not None:
            with_right_gradients(module)
        if self.channels_last:
            return module.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]
        return module.to(self.device)


def resolve(config: ComputeConfig) -> Compute:
    """Pick device and precision from the settings and what this machine has; changes torch's settings of the process.

    `precision: auto` is bf16 where the processor multiplies bf16 natively (CUDA from Ampere on, CPUs with AVX512-BF16
    or AMX), else fp16 on older CUDA devices, else fp32. Which settings of torch change, and how they are put back:
    `torch_settings.settings_kept`.

    Returns:
        The device, the precision of activations, memory order and threads.

    Raises:
        ConfigError: the device is not there, or cannot do the precision asked for.
    """
    device = _device(config.device)
    precision = _precision(config.precision, device)
    threads = config.threads or usable_threads()
    torch.set_num_threads(threads)
    if device.type == "cuda":
        allow_tf32(False)
    if config.deterministic:
        be_deterministic()
    return Compute(
        device=device,
        autocast_dtype=precision,
        channels_last=config.channels_last if config.channels_last is not None else device.type != "mps",
        threads=threads,
        tf32=config.tf32,
    )


def _device(name: str) -> torch.device:
    if name == "auto":
        if torch.cuda.is_available():
            return _own_gpu()
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"compute.device={name!r} is not a device; use auto, cpu, cuda, cuda:N or mps") from error
    present = ["cpu"]
    if torch.cuda.is_available():
        present += [f"cuda:{index}" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        present.append("mps")
    wanted = f"cuda:{device.index or 0}" if device.type == "cuda" else device.type
    if wanted not in present:
        raise ConfigError(f"compute.device={name!r} is not available here; this machine has {', '.join(present)}")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    if name.startswith("cuda:") and processes > 1:
        raise ConfigError(
            f"compute.device={name!r} would give all {processes} processes of torchrun on this machine the same GPU; "
            "use cuda, which gives each its own"
        )
    return _own_gpu() if name == "cuda" else device


def _own_gpu() -> torch.device:
    """The GPU of this process: under torchrun each process on a machine takes another one."""
    return torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % torch.cuda.device_count())


def processor_features() -> Mapping[str, Any]:
    """What the processor can do, by torch's names. Before torch 2.13 only bf16 arithmetic of x86 is known."""
    if hasattr(torch.cpu, "get_capabilities"):
        return torch.cpu.get_capabilities()
    return {
        "avx512_bf16": torch.cpu._is_avx512_bf16_supported(),
        "amx_bf16": torch.cpu._is_amx_tile_supported(),
    }


def native_bf16(device: torch.device) -> bool:
    """Whether the device multiplies bf16 in hardware, so that it is faster than fp32."""
    if device.type == "cuda":
        return torch.cuda.get_device_capability(device) >= (8, 0)
    if device.type == "cpu":
        found = processor_features()
        return bool(found.get("avx512_bf16") or found.get("amx_bf16") or found.get("bf16"))
    return False


def _precision(name: str, device: torch.device) -> torch.dtype | None:
    if name == "auto":
        if native_bf16(device):
            return torch.bfloat16
        return torch.float16 if device.type == "cuda" else None
    if name == "fp16" and device.type == "cpu":
        raise ConfigError("compute.precision='fp16' trains badly on a CPU; use bf16, fp32 or auto")
    return {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[name]


def environment(compute: Compute | None = None) -> dict[str, Any]:
    """Versions and hardware, to stand beside every figure."""
    import numpy
    import torchvision

    from lowland._version import __version__

    facts: dict[str, Any] = {
        "lowland": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": numpy.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": processor_features().get("cpu_name") or platform.processor() or platform.machine(),
        "cores": available_cores(),
    }
    if compute is not None:
        facts |= {
            "device": str(compute.device),
            "precision": compute.precision,
            "channels_last": compute.channels_last,
            "threads": compute.threads,
        }
        if compute.device.type == "cuda":
            facts["gpu"] = torch.cuda.get_device_name(compute.device)
    return facts
