"""Annotation files: classes of pictures that lie in one folder, as in Tiny ImageNet's val/val_annotations.txt."""

from __future__ import annotations

from pathlib import Path

from lowland.core.errors import DataError


def annotation_file(folder: Path) -> Path | None:
    """The one *_annotations.txt directly in `folder`, or None; raises DataError if there are several."""
    found = sorted(path for path in folder.glob("*_annotations.txt") if not path.name.startswith("."))
    if len(found) > 1:
        raise DataError(
            f"{folder} holds {found[0].name} and {found[1].name}, which could both give its pictures their classes; "
            f"remove all but one"
        )
    return found[0] if found else None


def annotated(file: Path, pictures: list[Path]) -> dict[str, list[Path]]:
    """Sort pictures into the classes that an annotation file gives them.

    Args:
        file: Lines of a picture's name, a tab and its class; further columns, such as boxes, are not looked at.
        pictures: All pictures there are.

    Returns:
        The pictures of each class, in order of their names.

    Raises:
        DataError: If the file cannot be read, or not every picture has exactly one class and every line a picture.
    """
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise DataError(f"{file} cannot be read as text in UTF-8; restore or remove it") from error
    by_name = {path.name: path for path in pictures}
    if len(by_name) != len(pictures):
        raise DataError(f"pictures of {file.parent} have the same name, so that {file.name} cannot tell them apart")
    class_of: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        name, _, rest = line.partition("\t")
        label = rest.partition("\t")[0].strip()
        if not line.strip():
            continue
        if not label:
            raise DataError(f"{file}, line {number}, must be a picture's name, a tab and its class, not {line[:80]!r}")
        if class_of.setdefault(name, label) != label:
            raise DataError(f"{file} gives {name} the classes {class_of[name]!r} and {label!r}; remove one")
    faults = {
        "gives a class to": ("which does not exist", sorted(class_of.keys() - by_name.keys())),
        "gives no class to": ("", sorted(by_name.keys() - class_of.keys())),
    }
    for verb, (what, names) in faults.items():
        if names:
            others = f" and {len(names) - 1:,} others" if len(names) > 1 else ""
            raise DataError(
                f"{file} {verb} {names[0]}{others}{f', {what}' if what else ''}; it holds {len(class_of):,} lines for "
                f"{len(by_name):,} pictures: each needs exactly one"
            )
    classes: dict[str, list[Path]] = {}
    for name in sorted(class_of):
        classes.setdefault(class_of[name], []).append(by_name[name])
    return classes
