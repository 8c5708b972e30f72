"""Weights out of a stranger's checkpoint: which of what it holds, under which names, and never by running its code."""

from __future__ import annotations

import argparse
import pickle
import re
import types
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from lowland.core.errors import RunError
from lowland.core.pickled import require_readable

TRAINED = ("state_dict", "model_state_dict", "model_state", "model", "module", "net", "network", "weights")
AVERAGED = ("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "model_ema_state_dict")
"""Where training scripts keep weights as trained, and averaged over steps."""

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.")
"""What wrappers (data parallel, averaging, torch.compile, Lightning) put before every name."""

HARMLESS = (argparse.Namespace, types.SimpleNamespace)
"""Plain holders of settings, which run nothing when they are read; all else that torch does not know is refused."""

State = dict[str, Tensor]


def read_weights(path: Path, expected: Collection[str], key: str | None = None) -> tuple[State, str]:
    """Read the weights in a file.

    Args:
        path: .safetensors, or a file of `torch.save`: a state dict, or a checkpoint that holds one, also as an averaged
            model or beside settings in an `argparse.Namespace`.
        expected: Names that the model knows its tensors by.
        key: Which of several, such as `model_ema`; nested ones with dots. None: the only one.

    Returns:
        The state dict under the model's names, and in words what was taken and taken off; empty where the file is a
        plain state dict.

    Raises:
        RunError: the file is missing, damaged, would run code, or holds no weights or several.
    """
    content = _content(path)
    said: list[str] = []
    if key is not None:
        found = _at(content, key, path)
        said.append(f"those at {key!r}")
    else:
        found = content
        while not _is_state(found):
            chosen = _only(found, path)
            said.append(f"those at {chosen!r}{' (averaged over training)' if chosen in AVERAGED else ''}")
            found = found[chosen]
    if not _is_state(found):
        raise RunError(f"weights file {path} holds no state dict at {key!r}; there {_has(found)}")
    state, removed = _renamed({name: value for name, value in found.items() if name != "n_averaged"}, expected)
    if "n_averaged" in found:
        said.append("averaged over training (n_averaged)")
    if removed:
        said.append(f"names without {removed!r}")
    return state, ", ".join(said)


def _content(path: Path) -> Any:
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        require_readable(path)
        with torch.serialization.safe_globals(list(HARMLESS)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise RunError(f"weights file {path} does not exist") from error
    except pickle.UnpicklingError as error:
        raise RunError(_refused(path, str(error))) from error
    except (SafetensorError, OSError, RuntimeError, ValueError, TypeError, KeyError, EOFError) as error:
        raise RunError(f"weights file {path} cannot be loaded: {' '.join(str(error).split())[:300]}") from error


def _refused(path: Path, reason: str) -> str:
    named = re.search(r"GLOBAL ([\w.]+)", reason)
    if named is None:
        return f"weights file {path} is not a plain state dict; save it as .safetensors"
    return (
        f"weights file {path} holds a {named[1]} beside its tensors, and to read that could run code of others; where "
        f"you trust it, convert it once: python -c \"import torch; c = torch.load('{path.name}', map_location='cpu', "
        "weights_only=False); torch.save(c['state_dict'], 'weights.pt')\", with the key that it has"
    )


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and bool(value) and all(isinstance(each, Tensor) for each in value.values())


def _only(content: Any, path: Path) -> str:
    """The one key under which weights are kept."""
    if not isinstance(content, Mapping):
        raise RunError(
            f"weights file {path} holds no state dict: what is there {_has(content)}; save model.state_dict()"
        )
    keys = [key for key in (*TRAINED, *AVERAGED) if isinstance(content.get(key), Mapping) and content[key]]
    if not keys:
        raise RunError(
            f"weights file {path} has no weights that are known: there {_has(content)}, none of which is known to be a "
            "state dict; name the one with --weights-key"
        )
    if len(keys) > 1:
        raise RunError(
            f"weights file {path} holds several sets of weights, {', '.join(keys)}; choose one with --weights-key, "
            f"such as --weights-key {keys[0]}"
            + (f" ({', '.join(key for key in keys if key in AVERAGED)}: averaged over training)" if _both(keys) else "")
        )
    return keys[0]


def _both(keys: list[str]) -> bool:
    return any(key in AVERAGED for key in keys)


def _at(content: Any, key: str, path: Path) -> Any:
    found = content
    for part in [key] if isinstance(content, Mapping) and key in content else key.split("."):
        if not isinstance(found, Mapping) or part not in found:
            raise RunError(f"weights file {path} has no {key!r}; there {_has(found)}")
        found = found[part]
    return found


def _has(content: Any) -> str:
    if not isinstance(content, Mapping):
        return f"is a {type(content).__name__}"
    keys = [str(key)[:40] for key in content]
    return f"are {', '.join(keys[:8])}{f' and {len(keys) - 8} more' if len(keys) > 8 else ''}" if keys else "is nothing"


def _renamed(state: State, expected: Collection[str]) -> tuple[State, str]:
    """The tensors under the model's names, and what was taken off every name; unchanged where that does not help."""
    names, removed = dict(zip(state, state, strict=True)), ""
    known = set(expected)
    while not known & set(names.values()):
        prefix = next((each for each in PREFIXES if all(name.startswith(each) for name in names.values())), None)
        if prefix is None or not names:
            break
        names = {old: name.removeprefix(prefix) for old, name in names.items()}
        removed += prefix
    if not removed or not known & set(names.values()):
        return state, ""
    return {names[old]: value for old, value in state.items()}, removed
