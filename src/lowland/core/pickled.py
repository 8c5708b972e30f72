"""Pickles of others: nothing in them may take for ever before it is refused.

A dictionary or a set asks for the hash of each of its keys. The hash of a tuple that holds one tuple twice, which holds
another twice, and so on, takes 2^n steps for n bytes, in C, where neither Ctrl-C nor a time limit is heard. Keys
are therefore measured before they are hashed, which the unpickler written in Python allows.
"""

from __future__ import annotations

import pickle
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, ClassVar

MOST_PARTS = 100
"""Most parts that one key may have, those of its parts included; official files have keys of two."""

_ZIP = b"PK\x03\x04"
_LEGACY = 5
"""Pickles in a row at the beginning of `torch.save`'s old form: magic number, version, system, content, storages."""


class StandIn:
    """A class that a file can name, but neither change nor give a state that it does not ask for."""

    def __setstate__(self, state: Any) -> None:
        """Refuse; called on the class itself, where a file tries to change it, it fails as well."""
        raise pickle.UnpicklingError(f"a state for {type(self).__name__}")


def require_small(keys: Iterable[object]) -> None:
    """Check that each of these can be hashed at once.

    Raises:
        pickle.UnpicklingError: one has more than `MOST_PARTS` parts.
    """
    for key in keys:
        parts, left = [key], MOST_PARTS
        while parts:
            part = parts.pop()
            if isinstance(part, tuple | frozenset):
                left -= len(part)
                if left < 0:
                    raise pickle.UnpicklingError(f"a key of more than {MOST_PARTS} parts")
                parts.extend(part)


class Set(StandIn):
    """Stands for `set`."""

    made: ClassVar[Callable[[Any], Any]] = set

    def __new__(cls, items: Any = ()) -> Any:
        """A set of these."""
        require_small(items)
        return cls.made(items)


class FrozenSet(Set):
    """Stands for `frozenset`."""

    made = frozenset


class Ordered(StandIn):
    """Stands for `collections.OrderedDict`."""

    def __new__(cls, items: Any = ()) -> Any:
        """One of these pairs, or of this mapping, whose keys are hashed already."""
        if not isinstance(items, Mapping):
            require_small(pair[0] for pair in items)
        return OrderedDict(items)


CONTAINERS: Mapping[str, type[StandIn]] = {
    "collections.OrderedDict": Ordered,
    **{
        f"{module}.{name}": kind
        for module in ("builtins", "__builtin__")
        for name, kind in (("set", Set), ("frozenset", FrozenSet))
    },
}
"""Containers that hash what they are given, and what stands for them."""


_KEYS: Mapping[bytes, slice] = {
    pickle.SETITEM: slice(-2, -1),
    pickle.SETITEMS: slice(None, None, 2),
    pickle.DICT: slice(None, None, 2),
    pickle.ADDITEMS: slice(None),
    pickle.FROZENSET: slice(None),
}
"""Where on the unpickler's stack the keys lie that an instruction hashes."""

_LOADS: Mapping[int, Any] = pickle._Unpickler.dispatch


def _measured(instruction: bytes, keys: slice) -> Callable[[Any], None]:
    def load(unpickler: Any) -> None:
        require_small(unpickler.stack[keys])
        _LOADS[instruction[0]](unpickler)

    return load


class BoundedUnpickler(pickle._Unpickler):
    """The unpickler written in Python, with every key measured before it is hashed; `find_class` is the caller's."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = {
        **_LOADS,
        **{instruction[0]: _measured(instruction, keys) for instruction, keys in _KEYS.items()},
    }


class _Inert:
    """Stands for whatever a file of torch names: it takes everything and does nothing."""

    def __new__(cls, *_: object, **__: object) -> _Inert:
        return object.__new__(cls)

    def __setstate__(self, state: object) -> None:
        pass

    def __setitem__(self, key: object, value: object) -> None:
        pass

    def _take(self, *_: object) -> None:
        pass

    append = extend = add = _take


class _Counter(_Inert):
    """Stands for `collections.Counter`, which hashes what it counts."""

    def __new__(cls, items: Any = ()) -> _Counter:
        require_small(items)
        return object.__new__(cls)


class _Rehearsal(BoundedUnpickler):
    """Goes through a pickle and makes nothing of it."""

    def find_class(self, module: str, name: str) -> Any:
        path = f"{module}.{name}"
        return _Counter if path == "collections.Counter" else CONTAINERS.get(path, _Inert)

    def persistent_load(self, pid: Any) -> Any:
        require_small(pid if isinstance(pid, tuple) else [pid])


def require_readable(path: Path) -> None:
    """Check that `torch.load(path, weights_only=True)` comes to an end, whatever it then says of the file.

    Raises:
        pickle.UnpicklingError: a key in it has too many parts, or it is no whole pickle.
        OSError: it cannot be read.
        RuntimeError: it is a damaged zip file.
    """
    with path.open("rb") as stream:
        if stream.read(len(_ZIP)) != _ZIP:
            stream.seek(0)
            _rehearse(stream, _LEGACY)
            return
    import io

    import torch

    # torch's own reader, since two readers of zip files may find different things in one that was made for it.
    reader = torch._C.PyTorchFileReader(str(path))
    if "data.pkl" in reader.get_all_records():
        _rehearse(io.BytesIO(reader.get_record("data.pkl")), 1)


def _rehearse(stream: BinaryIO, pickles: int) -> None:
    try:
        for _ in range(pickles):
            _Rehearsal(stream).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise pickle.UnpicklingError(f"no whole pickle: {type(error).__name__}: {error}"[:300]) from error
