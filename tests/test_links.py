"""Every link of the pages leads somewhere: a file of the repository, or a heading of the page itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])

GENERATED = {f"docs/reference/{name}.md" for name in ("cli", "settings", "members", "python")}
"""Pages that the site makes at every build (scripts/site.py)."""


def anchors(text: str) -> set[str]:
    """Names of the headings of a page, as pages are shown."""
    heads = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)):
        file, _, anchor = target.partition("#")
        if file.startswith(("https://", "http://")):
            continue
        if f"{page.parent.name}/{file}" in GENERATED:
            continue
        found = (page.parent / file) if file else page
        assert found.exists(), target
        if anchor:
            assert anchor in anchors(found.read_text(encoding="utf-8")), target
