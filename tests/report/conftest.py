"""Facts of a whole run, for every test of the report."""

from __future__ import annotations

import pytest
from made_up_facts import make_facts

from lowland.report import ReportFacts


@pytest.fixture
def facts() -> ReportFacts:
    return make_facts()
