"""What is a shortage of memory, and what is not."""

from __future__ import annotations

import errno
import sqlite3

import pytest
import torch

from lowland.core.errors import ConfigError, RunError
from lowland.core.memory import ShortageTold, memory_short


def _caused(error: ImportError, cause: Exception) -> ImportError:
    error.__cause__ = cause
    return error


SHORT = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:131] err == 0. DefaultCPUAllocator: can't allocate memory"),
    RuntimeError("could not create a primitive"),
    RuntimeError("can't start new thread"),
    OSError(errno.ENOMEM, "Cannot allocate memory"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    _caused(ImportError("Importing the numpy C-extensions failed."), ImportError("x.so: failed to map segment")),
]
OTHERS = [
    RuntimeError("could not create a primitive descriptor for a convolution forward propagation primitive"),
    ValueError("not enough memory"),
    OSError(errno.ENOSPC, "No space left on device"),
    ModuleNotFoundError("No module named 'cannot'"),
    sqlite3.OperationalError("no such table"),
]


@pytest.mark.parametrize("error", SHORT, ids=repr)
def test_a_shortage_is_one_sentence(error: Exception) -> None:
    assert memory_short(error)
    with pytest.raises(RunError, match=r"memory ran short in stage x of y .*ulimit -v.* resume") as raised, told():
        raise error
    assert raised.value.__cause__ is error


@pytest.mark.parametrize("error", [*OTHERS, ConfigError("out of memory")], ids=repr)
def test_others_go_through(error: Exception) -> None:
    assert not memory_short(error)
    with pytest.raises(type(error)) as raised, told():
        raise error
    assert raised.value is error


def told() -> ShortageTold:
    return ShortageTold("in stage x of y")


def test_a_library_may_tell_of_it_in_its_own_words() -> None:
    error = RuntimeError("the graph cannot be decomposed")
    error.__cause__ = MemoryError()
    assert memory_short(error)
    error.__cause__ = ValueError()
    assert not memory_short(error)
    assert memory_short(ImportError("Failed to register EP library with error: std::bad_alloc"))


def test_a_lost_error_of_a_library_is_a_shortage_only_under_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    lost = SystemError("<function Legend.__init__> returned NULL without setting an exception")
    resource = pytest.importorskip("resource")
    for limit, short in ((2**40, True), (resource.RLIM_INFINITY, False)):
        monkeypatch.setattr(resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert memory_short(lost) is short
        assert memory_short(SystemError("error return without exception set")) is short
        assert not memory_short(SystemError("bad argument to internal function"))
