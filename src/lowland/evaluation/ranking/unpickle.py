"""Plain data out of pickled files of others: numbers, text, containers and numeric arrays; nothing in them is executed.

A pickle names Python objects ("globals") and asks for them to be called. Here only the few that stand for plain data
are known, and each is a stand-in of this file that checks what it is given; any other name is refused. numpy's own
reconstruction functions are not called either.
"""

from __future__ import annotations

import bz2
import pickle
import re
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from lowland.core.errors import DataError
from lowland.core.pickled import CONTAINERS, BoundedUnpickler, StandIn, require_readable

ZIP, BZIP2, PICKLE = b"PK\x03\x04", b"BZh", b"\x80"
"""First bytes of a file of `torch.save` (new form), of a bzip2 file, and of a pickle or `torch.save`'s old form."""

_CODES = ("f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "b1")


def begins_as_pickle(path: Path) -> bool:
    """Tell a file that `read_torch` or `read_bz2` may read from others, by its first four bytes.

    Returns:
        Whether it begins as a zip archive of `torch.save`, a bzip2 stream or a pickle.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        return stream.read(4).startswith((ZIP, BZIP2, PICKLE))


MOST_BYTES = 2**36
"""Of an unpacked pickle: ten times the largest official release."""

MOST_AT_ONCE = 2**30
"""Of a single text, number or array in it."""


class _Bounded:
    """A stream that unpacks neither without end nor all at once, whatever a file of a few bytes asks for."""

    def __init__(self, stream: bz2.BZ2File) -> None:
        self._stream = stream
        self._left = MOST_BYTES

    def read(self, size: int = -1) -> bytes:
        """At most `size` bytes."""
        if not 0 <= size <= MOST_AT_ONCE:
            raise pickle.UnpicklingError(f"an entry of {size:,} bytes")
        return self._counted(self._stream.read(size))

    def readline(self) -> bytes:
        """A line."""
        return self._counted(self._stream.readline(MOST_AT_ONCE))

    def _counted(self, content: bytes) -> bytes:
        self._left -= len(content)
        if self._left < 0:
            raise pickle.UnpicklingError(f"more than {MOST_BYTES:,} bytes")
        return content


class Type(StandIn):
    """Stands for `numpy.dtype`: plain numbers and truth values only."""

    def __init__(self, code: str, align: object = False, copy: object = True) -> None:
        del align, copy
        if not isinstance(code, str) or code not in _CODES:
            raise pickle.UnpicklingError(f"the array type {code!r}" if isinstance(code, str) else "an array type")
        self.code, self.big_endian = code, False

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """Of numpy's state only the byte order says anything about a plain type."""
        self.big_endian = state[1] == ">"

    def read(self, content: object) -> Any:
        """The numbers in `content`, a flat array; raises UnpicklingError where that is not bytes."""
        if not isinstance(content, bytes):
            raise pickle.UnpicklingError("an array whose content is not bytes")
        return np.frombuffer(content, np.dtype(self.code).newbyteorder(">" if self.big_endian else "<"))


class Scalar(StandIn):
    """Stands for `numpy.core.multiarray.scalar`: gives a Python number."""

    def __new__(cls, kind: Type, content: bytes) -> Any:
        """The number in `content`."""
        return kind.read(content)[0].item()


class Reconstructed(StandIn):
    """Stands for a numpy array and for the function that begins one; holds it as nested lists in `values`."""

    def __init__(self, *_: object) -> None:
        self.values: Any = []

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        """The state numpy writes: version, shape, type, whether in Fortran order, content."""
        _, shape, kind, fortran, content = state
        self.values = kind.read(content).reshape(shape, order="F" if fortran else "C").tolist()


class Latin1(StandIn):
    """Stands for `_codecs.encode`, with which Python 3 writes bytes in old protocols."""

    def __new__(cls, text: str, encoding: str) -> Any:
        """The bytes."""
        if encoding != "latin1" or not isinstance(text, str):
            raise pickle.UnpicklingError(f"the text encoding {encoding!r}" if isinstance(encoding, str) else "a text")
        return text.encode("latin1")


_NUMPY: dict[str, type] = {
    "numpy.dtype": Type,
    "numpy.ndarray": Reconstructed,
    **{
        f"numpy.{core}.multiarray.{name}": stand_in
        for core in ("core", "_core")
        for name, stand_in in (("scalar", Scalar), ("_reconstruct", Reconstructed))
    },
}
_KNOWN: dict[str, type] = {
    **_NUMPY,
    "_codecs.encode": Latin1,
    **CONTAINERS,
}


class _Refused(pickle.UnpicklingError):
    """A pickle asks for a Python object that is not plain data."""


class _PlainUnpickler(BoundedUnpickler):
    def find_class(self, module: str, name: str) -> type:
        path = f"{module}.{name}"
        if path not in _KNOWN:
            raise _Refused(path)
        return _KNOWN[path]


def read_bz2(path: Path) -> Any:
    """Read a pickle compressed by bzip2.

    Returns:
        The plain data in it.

    Raises:
        DataError: the file asks for anything but plain data (it is not executed), is damaged, or does not fit in
            memory.
    """
    try:
        with bz2.open(path, "rb") as stream:
            content = _PlainUnpickler(_Bounded(stream)).load()
            if not stream.read(1):  # at the end is the checksum, which this reads
                return content
        _damaged(path, ValueError("something follows its data"))
    except _Refused as error:
        _refuse(path, str(error), error)
    except MemoryError as error:
        _too_large(path, error)
    except Exception as error:  # a damaged pickle may raise anything
        _damaged(path, error)


def read_torch(path: Path) -> Any:
    """Read a file of `torch.save`, by `torch.load(weights_only=True)`.

    Returns:
        The plain data in it.

    Raises:
        DataError: the file asks for anything but plain data (it is not executed), is damaged, or does not fit in
            memory.
    """
    import torch

    try:
        require_readable(path)
        with torch.serialization.safe_globals([(stand_in, path) for path, stand_in in _NUMPY.items()]):
            return torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError as error:
        _too_large(path, error)
    except Exception as error:  # a damaged pickle may raise anything
        named = re.search(r"GLOBAL (\S+)", str(error))
        if named is not None:
            _refuse(path, named[1], error)
        _damaged(path, error)


def _refuse(path: Path, name: str, error: Exception) -> NoReturn:
    raise DataError(
        f"{path} asks for the Python object {name!r}, which is not plain data, so it was not read and nothing in it "
        "was executed; get the official file again from its authors"
    ) from error


def _too_large(path: Path, error: MemoryError) -> NoReturn:
    raise DataError(
        f"{path} does not fit in this machine's memory; convert the folder NATS-tss-v1_0-3ffb9-simple, which is read "
        "one architecture at a time"
    ) from error


def _damaged(path: Path, error: Exception) -> NoReturn:
    said = " ".join(str(error).split())[:200] or type(error).__name__
    raise DataError(f"{path} cannot be read as plain data ({said}); get the official file again") from error
