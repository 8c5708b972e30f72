"""Shortage of memory: how it is told from other errors, and the sentence that it becomes."""

from __future__ import annotations

import errno
import sys
from types import TracebackType

from lowland.core.errors import LowlandError, RunError

_SHORT = (
    "can't allocate memory",
    "cannot allocate memory",
    "not enough memory",
    "out of memory",
    "alloc_failed",
    "bad_alloc",
    "failed to map segment",
    "can't start new thread",
)
"""What allocators, the loader of libraries and threads, which need memory for their stacks, say in their own words."""

_PRIMITIVE = "could not create a primitive"
"""All that oneDNN says where it gets no memory for its code; of an operation it does not know it says more."""


_LOST = ("without setting an exception", "without exception set")
"""What Python says where a library in C returned no result, and no reason: most often it got no memory."""


def memory_short(error: BaseException) -> bool:
    """Whether host or device had not enough memory. Imports nothing, which shortage might forbid."""
    accelerator = getattr(sys.modules.get("torch"), "OutOfMemoryError", MemoryError)
    if isinstance(error, MemoryError | accelerator) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    if isinstance(error, SystemError) and any(words in str(error) for words in _LOST):
        return _limited()
    if isinstance(error, RuntimeError) and isinstance(error.__cause__, MemoryError):  # told in an exporter's own words
        return True
    # A library of its own that cannot be loaded is told by numpy in many words, with the loader's as the cause.
    causes = (error, error.__cause__) if isinstance(error, ImportError) else (error,)
    said = [" ".join(str(cause).lower().split()) for cause in causes]
    if not isinstance(error, RuntimeError | OSError | ImportError):
        return False
    return _PRIMITIVE in said or any(words in text for text in said for words in _SHORT)


def _limited() -> bool:
    """Whether this process may have so much address space and no more (`ulimit -v`)."""
    try:
        import resource
    except ImportError:  # on Windows, which has no such limit
        return False
    return resource.getrlimit(resource.RLIMIT_AS)[0] != resource.RLIM_INFINITY


class ShortageTold:
    """A context within which a shortage of memory becomes one sentence, a RunError; all else goes through.

    `where`: What was done, such as `in stage search of RUN`.
    """

    def __init__(self, where: str) -> None:
        self._where = where

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None or isinstance(error, LowlandError) or not memory_short(error):
            return
        said = " ".join(str(error).split())[:150] or type(error).__name__
        raise RunError(
            f"memory ran short {self._where} ({said}); everything saved before is intact: free memory, raise a limit "
            f"on it (ulimit -v), or lower its batch_size, and resume"
        ) from error
