"""lowland: neural architecture search for networks that lie in wide, low valleys of the loss surface.

The public table of contents. Everything here is imported on first use, so that `import lowland` costs nothing.
"""

from __future__ import annotations

from lowland._version import __version__

TYPE_CHECKING = False  # as of `typing`, whose import would be most of the time that this module takes

_HOMES = {
    "Callback": "lowland.app.callbacks.callback",
    "Config": "lowland.core.config",
    "Genotype": "lowland.core.genotype",
    "LowlandError": "lowland.core.errors",
    "detect": "lowland.app.dense",
    "flatness": "lowland.measures.landscape",
    "load": "lowland.delivery.network",
    "run": "lowland.app.python",
    "resume": "lowland.app.python",
    "segment": "lowland.app.dense",
    "settings": "lowland.app.python",
    "archive": "lowland.workflow.candidates",
    "spaces": "",
    "measures": "",
}

if TYPE_CHECKING:
    from typing import Any

    from lowland import measures, spaces
    from lowland.app.callbacks.callback import Callback
    from lowland.app.dense import detect, segment
    from lowland.app.python import resume, run, settings
    from lowland.core.config import Config
    from lowland.core.errors import LowlandError
    from lowland.core.genotype import Genotype
    from lowland.delivery.network import load
    from lowland.measures.landscape import flatness
    from lowland.workflow.candidates import archive

__all__ = [
    "Callback",
    "Config",
    "Genotype",
    "LowlandError",
    "__version__",
    "archive",
    "detect",
    "flatness",
    "load",
    "measures",
    "resume",
    "run",
    "segment",
    "settings",
    "spaces",
]


def __getattr__(name: str) -> Any:
    import importlib

    if name not in _HOMES:
        raise AttributeError(f"module 'lowland' has no attribute {name!r}")
    if not _HOMES[name]:
        return importlib.import_module(f"lowland.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
