"""Copies of golden runs that can be opened and resumed anywhere. It needs no lowland, whose formats may have changed.

The golden folders were made in `MADE_AT`, and their settings name the data there. `relocated` copies one, names the
data where it really is, and corrects the checksum that the run keeps of its settings. Format 1 of the run directory.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

MADE_AT = "/tmp/lowland-golden"
"""Where `scripts/make_golden.py` made the golden folders."""

DATA = "images.npz"
"""Their data, beside them."""


def relocated(source: Path, to: Path, images: Path | None = None) -> Path:
    """Copy the golden run or ranking `source` to the new folder `to`, so that it finds its data.

    In every run directory within (a ranking holds one in `run/`) `config.yaml` then names `images`, `manifest.json`
    holds the new checksum of `config.yaml`, and the empty folder `checkpoints`, which git does not keep, is there.
    Nothing else is changed: what only tells where something came from (`data.source` of the manifest, `rank.json`,
    the pages) still names `MADE_AT`.

    Args:
        source: A folder of `tests/golden/format-1`.
        to: The copy; must not exist.
        images: The data set; default: `images.npz` beside `source`.

    Returns:
        `to`.

    Raises:
        ValueError: Settings do not name the data as format 1 does, or do not have the checksum in the manifest.
    """
    images = (images if images is not None else source.parent / DATA).absolute()
    shutil.copytree(source, to)
    for manifest in sorted(to.rglob("manifest.json")):
        name_data(manifest.parent, images)
        (manifest.parent / "checkpoints").mkdir(exist_ok=True)
    return to


def name_data(run: Path, images: Path) -> None:
    """Let the settings of the run directory `run` name the data `images`, and its manifest have their checksum."""
    settings, manifest = run / "config.yaml", run / "manifest.json"
    text = settings.read_bytes().decode()
    facts = json.loads(manifest.read_bytes())
    if facts["files"][settings.name] != hashlib.sha256(text.encode()).hexdigest():
        raise ValueError(f"{settings} does not have the checksum in {manifest}")
    line = f"\n  name: {MADE_AT}/{DATA}\n"
    if text.count(line) != 1:
        raise ValueError(f"{settings} should name {MADE_AT}/{DATA} once, but does {text.count(line)} times")
    quoted = json.dumps(str(images), ensure_ascii=False)  # a string of JSON is one of YAML
    content = text.replace(line, f"\n  name: {quoted}\n").encode()
    settings.write_bytes(content)
    facts["files"][settings.name] = hashlib.sha256(content).hexdigest()
    manifest.write_bytes((json.dumps(facts, indent=2) + "\n").encode())
