"""Image folders: CLASS/* pictures, with or without train/, val/ and test/ above, whatever a stranger calls these."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lowland.core.errors import DataError
from lowland.data.annotations import annotated, annotation_file
from lowland.data.images import Images, Source
from lowland.data.listing import SUFFIXES, Survey, listing
from lowland.data.naming import Role, folded, in_order, order_note, role, twins_note
from lowland.data.pictures import FileImages

PACKED = re.compile(r"\.(zip|tar|tgz|gz|7z|rar|npz|parquet)$")

PICTURE_FOLDER = "images"
"""A class folder's only folder, if it is called so, holds the class's pictures, as in Tiny ImageNet."""


@dataclass(frozen=True)
class _Part:
    """One part of a data set: the pictures of each class, in order of their names."""

    folder: Path
    classes: dict[str, list[Path]]

    def images(self, order: Sequence[str], root: Path) -> Images:
        paths = [path for name in order for path in self.classes[name]]
        labels = [label for label, name in enumerate(order) for _ in self.classes[name]]
        return FileImages(paths, np.array(labels, dtype=np.int64), root)


def open_folder(root: Path) -> Source:
    """The image folder `root`: train/CLASS/* with test/CLASS/* and perhaps val/CLASS/*, or CLASS/* alone.

    The parts may have any usual name in any case (`naming.role`). Where there are all three, the search images are
    those of val/; where there is no test/, val/ is the test; a train/ alone is split like an unsplit folder. A part
    may hold images and a *_annotations.txt instead of class folders, as in Tiny ImageNet. What is left out is told in
    `Source.notes`.

    Returns:
        Training images and, where there is a folder of them, test images.

    Raises:
        DataError: If there are no classes or images, a file is not an image, the folders' classes differ, or it is
            doubtful which folder is what.
    """
    survey = Survey()
    beside = Survey()
    folders, loose = listing(root, beside)
    parts, unused = _parts(root, folders)
    packed = sorted(name for name in beside.skipped if PACKED.search(name.lower()) and role(name.partition(".")[0]))
    notes = [f"{', '.join(packed)} in {root} not used; unpack what should be"] if packed else []
    if not parts:
        whole = _scan(root, survey)
        return _source(root, {"train": whole}, survey, notes, "")
    found = {part: _read(folder, survey) for part, folder in parts.items()}
    train = found["train"]
    for other in found.values():
        _same_classes(train, other)
    if unused:
        names = ", ".join(f"{folder.name}/" for folder in unused)
        notes.append(
            f"{names} in {root} {'is' if len(unused) == 1 else 'are'} not used: only the parts "
            f"{', '.join(f'{folder.name}/' for folder in parts.values())} are; move pictures you want used there"
        )
    if loose:
        notes.append(f"{len(loose):,} pictures directly in {root} are not used, such as {loose[0].name}")
    return _source(root, found, survey, notes, f" ({', '.join(f'{folder.name}/' for folder in parts.values())})")


def _source(root: Path, parts: dict[Role, _Part], survey: Survey, notes: list[str], where: str) -> Source:
    classes = in_order(parts["train"].classes, str(root))
    images = {part: found.images(classes, root) for part, found in parts.items()}
    taken = {"val": "search", "test": "test"} if "test" in parts else {"val": "test"}
    origins = tuple(f"{taken[part]} from {parts[part].folder.name}/" for part in parts if part in taken)
    return Source(
        name=root.resolve().name,
        train=images["train"],
        test=images.get("test") or images.get("val"),
        search=images.get("val") if "test" in parts else None,
        classes=classes,
        flip=True,
        origin=f"images of {root}{where}",
        found=(*origins, *order_note(classes)),
        notes=(*notes, *twins_note(classes), *survey.notes()),
    )


def _parts(root: Path, folders: list[Path]) -> tuple[dict[Role, Path], list[Path]]:
    """The folder of each part, empty where `root` is not split, and the folders that are no part."""
    inner = {folder: listing(folder, Survey()) for folder in folders if role(folder.name)}
    split = [folder for folder in inner if inner[folder][0] or annotation_file(folder)]
    roles = {role(folder.name) for folder in inner}
    if not any(role(folder.name) == "train" for folder in split):
        if split:
            raise DataError(
                f"{root} holds {', '.join(f'{folder.name}/' for folder in split)} with class folders, but no train/ "
                f"with class folders; call the folder of the training images train"
            )
        if len(roles) > 1 and ("train" in roles or len(inner) == len(folders)):
            raise DataError(
                f"{root} holds {' and '.join(f'{folder.name}/' for folder in inner)} without a folder per class in "
                f"them, so that nothing says which class a picture is of; sort the images into "
                f"{next(iter(inner)) / 'CLASS'} folders"
            )
        return {}, []
    parts: dict[Role, Path] = {}
    unlabelled = [folder for folder in inner if folder not in split or _unlabelled(folder, inner[folder][0])]
    candidates: dict[Role, list[Path]] = {"train": [], "val": [], "test": []}
    for folder in inner:
        part = role(folder.name)
        if part is not None and (part != "train" or folder in split):
            candidates[part].append(folder)
    labelled_val = [folder for folder in candidates["val"] if folder not in unlabelled]
    if labelled_val and all(folder in unlabelled for folder in candidates["test"]):
        candidates["test"] = []
    for part, found in candidates.items():
        if len(found) > 1:
            names = " and ".join(f"{folder.name}/" for folder in found)
            meaning = {"train": "the training images", "test": "the test", "val": "the validation images"}[part]
            raise DataError(
                f"{names} in {root} could {'both' if len(found) == 2 else 'all'} be {meaning}; move or rename all but "
                f"one"
            )
        if found:
            parts[part] = found[0]
    return parts, [folder for folder in folders if folder not in parts.values()]


def _unlabelled(folder: Path, inner: list[Path]) -> bool:
    """Whether a part holds pictures that nothing gives a class, as Tiny ImageNet's test/images/."""
    return [entry.name.lower() for entry in inner] == [PICTURE_FOLDER] and annotation_file(folder) is None


def _read(folder: Path, survey: Survey) -> _Part:
    file = annotation_file(folder)
    if file is None:
        return _scan(folder, survey)
    folders, pictures = listing(folder, survey)
    del survey.skipped[file.name]
    for inner in folders:
        pictures += listing(inner, survey)[1]
    return _Part(folder, annotated(file, pictures))


def _scan(folder: Path, survey: Survey) -> _Part:
    """The classes of CLASS/* in `folder` with their pictures."""
    class_folders, loose = listing(folder, survey)
    if not class_folders or loose:
        found = f"the image {loose[0].name} lies directly in it" if loose else "it holds no folders"
        raise DataError(
            f"image folder {folder} must hold one folder of images per class, but {found}; sort the images into "
            f"{folder / 'CLASS'} folders"
        )
    if len(class_folders) < 2:
        only = class_folders[0]
        if only.name.lower() == PICTURE_FOLDER:
            raise DataError(
                f"image folder {folder} holds {only.name}/, but nothing that says which class a picture is of; sort "
                f"the images into {folder / 'CLASS'} folders"
            )
        if listing(only, Survey())[0]:
            raise DataError(f"image folder {folder} holds nothing but the folder {only.name}; give {only} instead")
        raise DataError(
            f"image folder {folder} holds the single class {only.name!r}; at least 2 classes are needed: add a folder "
            f"of images for each other class"
        )
    classes = {_class_name(inner): _pictures(inner, survey) for inner in class_folders}
    empty = [name for name, pictures in classes.items() if not pictures]
    if empty:
        kind = "class folder" if len(empty) == 1 else "class folders"
        raise DataError(
            f"{kind} {', '.join(str(folder / name) for name in empty[:5])}{_more(empty)} "
            f"hold{'s' if len(empty) == 1 else ''} no images ({', '.join(s[1:] for s in SUFFIXES)}); add some or "
            f"remove the folder{'s' if len(empty) > 1 else ''}"
        )
    return _Part(folder, classes)


def _class_name(folder: Path) -> str:
    try:
        folder.name.encode("utf-8")
    except UnicodeEncodeError as error:
        raise DataError(
            f"class folder {folder.name.encode('utf-8', 'surrogateescape')!r} in {folder.parent} has a name that is "
            f"not text in UTF-8; rename it"
        ) from error
    return folder.name


def _pictures(class_folder: Path, survey: Survey) -> list[Path]:
    folders, pictures = listing(class_folder, survey)
    if not pictures and [entry.name.lower() for entry in folders] == [PICTURE_FOLDER]:
        folders, pictures = listing(folders[0], survey)
    if folders:
        raise DataError(
            f"{folders[0]}{_more(folders, 1)} is a folder, but a class folder may hold only images, or one folder "
            f"called {PICTURE_FOLDER}; move its images to {class_folder} or remove it"
        )
    return pictures


def _same_classes(train: _Part, other: _Part) -> None:
    for here, there in ((train, other), (other, train)):
        missing = [name for name in here.classes if name not in there.classes]
        if missing:
            which = ", ".join(map(repr, missing[:5])) + _more(missing)
            kind, verb = ("class", "is") if len(missing) == 1 else ("classes", "are")
            near = [name for name in there.classes if folded(name) == folded(missing[0])]
            if near:
                raise DataError(
                    f"class {missing[0]!a} of {here.folder} is called {near[0]!a} in {there.folder}; rename one"
                )
            raise DataError(
                f"{kind} {which} {verb} in {here.folder} but not in {there.folder}; every class needs images in both: "
                f"add some or remove the class"
            )


def _more(items: Sequence[object], shown: int = 5) -> str:
    return f" (and {len(items) - shown:,} more)" if len(items) > shown else ""
