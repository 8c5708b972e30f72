"""Where the parts of a data set in COCO's layout lie: `annotations/instances_<name>.json` and the folder `<name>/`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from lowland.core.errors import DataError

ANNOTATIONS = "annotations"
PREFIX = "instances_"


@dataclass(frozen=True, slots=True)
class Part:
    """Training or validation pictures: the folder they lie in, and the file that describes them."""

    folder: Path
    file: Path


def parts(root: Path) -> tuple[Part, Part]:
    """Find both parts of a data set.

    Args:
        root: Holds `annotations/instances_train*.json`, `annotations/instances_val*.json`, and folders of pictures
            called as these files end, such as `train2017` and `val2017`, beside `annotations` or in `images`.

    Returns:
        Training and validation part.

    Raises:
        DataError: something of this is missing, or there are several; the sentence says what was looked for and found.
    """
    if not root.is_dir():
        raise DataError(f"{root} is no folder; give the folder that holds COCO's annotations and pictures")
    return _part(root, "train"), _part(root, "val")


def _part(root: Path, name: str) -> Part:
    looked_for = f"{ANNOTATIONS}/{PREFIX}{name}*.json"
    files = sorted((root / ANNOTATIONS).glob(f"{PREFIX}{name}*.json"))
    if not files:
        where = root / ANNOTATIONS if (root / ANNOTATIONS).is_dir() else root
        raise DataError(f"{root} is not laid out as COCO: looked for {looked_for}, found {_content(where)} in {where}")
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise DataError(f"{root} holds several parts called {name} ({names}); leave one of them in {ANNOTATIONS}")
    called = files[0].stem.removeprefix(PREFIX)
    places = (root / called, root / "images" / called)
    folder = next((place for place in places if place.is_dir()), None)
    if folder is None:
        raise DataError(
            f"{root} is not laid out as COCO: looked for the pictures of {files[0].name} in {called}/ or "
            f"images/{called}/, found {_content(root)}"
        )
    return Part(folder, files[0])


def _content(folder: Path) -> str:
    names = sorted(entry.name for entry in folder.iterdir())
    if not names:
        return "nothing"
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
