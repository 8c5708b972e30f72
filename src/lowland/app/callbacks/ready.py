"""The ready callbacks by their names, and what each needs to be installed."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module

from lowland.app.callbacks.callback import Callback
from lowland.core.errors import ConfigError

READY = {
    "tensorboard": ("lowland.app.callbacks.tensorboard", "TensorBoard"),
    "mlflow": ("lowland.app.callbacks.mlflow", "MLflow"),
    "wandb": ("lowland.app.callbacks.wandb", "WandB"),
}
"""Name, which is that of its extra too → module and class."""


def chosen(asked: Sequence[Callback | str]) -> list[Callback]:
    """The callbacks that are asked for, made where only a name is given; each name once, names split at commas.

    Returns:
        The callbacks in their order.

    Raises:
        ConfigError: there is none of that name, what it needs is not installed, or something is no callback.
    """
    if isinstance(asked, str):
        raise ConfigError(f"callbacks={asked!r} must be a list, such as [{asked!r}]")
    found: dict[object, Callback] = {}
    for each in asked:
        if isinstance(each, Callback):
            found[id(each)] = each
        elif isinstance(each, str):
            for name in filter(None, map(str.strip, each.split(","))):
                found.setdefault(name, made(name))
        else:
            raise ConfigError(
                f"callback {each!r} is a {type(each).__name__}; give objects of a subclass of lowland.Callback, or "
                f"names: {', '.join(READY)}"
            )
    return list(found.values())


def made(name: str) -> Callback:
    """The ready callback called `name`; raises ConfigError where there is none, or its extra is not installed."""
    if name not in READY:
        raise ConfigError(f"--logger {name!r} is not known; it can be {', '.join(READY)}")
    module, kind = READY[name]
    try:
        callback: Callback = getattr(import_module(module), kind)()
    except ImportError as error:
        raise ConfigError(
            f"--logger {name} needs packages that are not installed ({error}); install them with "
            f"`pip install 'lowland[{name}]'`"
        ) from error
    return callback
