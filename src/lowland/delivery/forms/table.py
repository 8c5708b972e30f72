"""The table of forms."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

from lowland.core.errors import ConfigError
from lowland.delivery.forms.exported import Exported
from lowland.delivery.forms.form import Form
from lowland.delivery.forms.int8 import Int8
from lowland.delivery.forms.onnx import Onnx
from lowland.delivery.forms.weights import Weights

FORMS: Mapping[str, Form] = {form.name: form for form in (Weights(), Exported(), Onnx(), Int8())}
"""Every form by its name."""


def forms(names: Iterable[str]) -> list[Form]:
    """Look up forms.

    Args:
        names: Their names; one that is named again counts once.

    Returns:
        The forms in this order.

    Raises:
        ConfigError: there is none of that name, with the nearest; or none was named.
    """
    found = []
    for name in dict.fromkeys(names):
        if name not in FORMS:
            near = difflib.get_close_matches(name, FORMS, n=1)
            guess = f" (did you mean {near[0]}?)" if near else ""
            *others, last = FORMS
            raise ConfigError(f"unknown export format {name!r}{guess}; choose {', '.join(others)} or {last}")
        found.append(FORMS[name])
    if not found:
        raise ConfigError(f"no export format was named; choose of {', '.join(FORMS)}")
    return found
