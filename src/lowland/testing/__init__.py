"""Conformance suites for what others add: subclass one in a test of your own, and pytest does the rest.

Needs the extra `test` (pytest and hypothesis).
"""

import pytest

# Before the suites are imported, so that their assertions say what they compared.
pytest.register_assert_rewrite("lowland.testing.spaces")

from lowland.testing.spaces import SpaceSuite  # noqa: E402  (see above)

__all__ = ["SpaceSuite"]
