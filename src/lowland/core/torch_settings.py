"""torch's settings that hold for the whole process: lowland changes them while it works and then puts them back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
"""Environment variable without which cuBLAS sums in another order from time to time."""

_BACKENDS: Any = torch.backends  # whose types do not say all that they have

_FP32 = (
    _BACKENDS.cudnn.conv,
    _BACKENDS.cudnn.rnn,
    _BACKENDS.cuda.matmul,
    _BACKENDS.mkldnn.matmul,  # which set_float32_matmul_precision changes along with the others
)


@contextmanager
def settings_kept() -> Iterator[None]:
    """After the block, or the function that this decorates, torch's settings of the process are as they were before.

    These are the number of threads, TF32, cuDNN's benchmark mode, deterministic algorithms and cuBLAS's workspace.
    """
    threads = torch.get_num_threads()
    fp32 = _fp32_settings()
    benchmark = torch.backends.cudnn.benchmark
    mode = torch.get_deterministic_debug_mode()
    workspace = os.environ.get(WORKSPACE)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        if _fp32_settings() != fp32:
            _set_fp32(*fp32)
        torch.backends.cudnn.benchmark = benchmark
        if torch.get_deterministic_debug_mode() != mode:
            torch.set_deterministic_debug_mode(mode)
        if workspace is None:
            os.environ.pop(WORKSPACE, None)
        else:
            os.environ[WORKSPACE] = workspace


@contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Within the block fp32 convolutions and matrix products of GPUs round to TF32 (10 bits of mantissa), or do not."""
    before = _fp32_settings()
    allow_tf32(allowed)
    try:
        yield
    finally:
        _set_fp32(*before)


def allow_tf32(allowed: bool) -> None:
    """Let fp32 convolutions and matrix products of GPUs round to TF32, or not; torch alone does in convolutions."""
    _set_fp32(("tf32" if allowed else "ieee",) * len(_FP32), None)


def be_deterministic() -> None:
    """Only algorithms that give the same bits every time; torch raises RuntimeError where an operation has none."""
    os.environ.setdefault(WORKSPACE, ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False


def _fp32_settings() -> tuple[tuple[str, ...], str | None]:
    """The precisions of `_FP32`, and by the older interface that of matrix products: None where the two disagree."""
    try:
        older = torch.get_float32_matmul_precision()
    except RuntimeError:
        older = None
    return tuple(backend.fp32_precision for backend in _FP32), older


def _set_fp32(precisions: tuple[str, ...], older: str | None) -> None:
    """Set both interfaces, since torch refuses to read the older one where it disagrees with the newer."""
    conv, rnn, matmul, _ = precisions
    torch.backends.cudnn.allow_tf32 = conv == rnn == "tf32"
    torch.set_float32_matmul_precision(older or ("high" if matmul == "tf32" else "highest"))
    for backend, precision in zip(_FP32, precisions, strict=True):
        backend.fp32_precision = precision
