"""Hostile and damaged run directories, each made from a good one: by its name, what is done to it.

Beside the run lies `outside`, a folder of somebody else's, which nothing may read, write or delete in.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

DIGEST = "0" * 64
Spoil = Callable[[Path, Path], object]


def make_outside(folder: Path, run: Path) -> Path:
    """Files that look like those of a run, for links to lead to."""
    for name in (
        "manifest.json",
        "config.yaml",
        "archive.sqlite",
        "network/network.json",
        "supernet/trained.safetensors",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((run / name).read_bytes())
    for name in ("key", "old-1.safetensors", ".left.1234.tmp", "lock", "progress.json", "report.html"):
        (folder / name).write_text(f"{name}, which is precious")
    return folder


def edited(change: Callable[[dict[str, Any], Path], object]) -> Spoil:
    """Change the manifest; `change` gets its values and the folder outside."""

    def spoil(run: Path, outside: Path) -> None:
        manifest = json.loads((run / "manifest.json").read_text())
        change(manifest, outside)
        (run / "manifest.json").write_text(json.dumps(manifest))

    return spoil


def listed(name: str) -> Spoil:
    """A stage names a file of this name as its own; `OUT` stands for the absolute path of the folder outside."""
    return edited(lambda m, out: m["stages"]["report"]["files"].append(name.replace("OUT", str(out))))


def checkpoint(name: str) -> Spoil:
    entry = {"file": name, "sha256": DIGEST, "step": 1, "stage": "supernet"}
    return edited(lambda m, out: m["checkpoints"].update({"train": [{**entry, "file": name.replace("OUT", str(out))}]}))


def linked(name: str, target: str) -> Spoil:
    """The run's `name` is a link to `target` outside."""

    def spoil(run: Path, outside: Path) -> None:
        place = run / name
        if place.is_dir():
            for file in sorted(place.rglob("*"), reverse=True):
                file.rmdir() if file.is_dir() else file.unlink()
            place.rmdir()
        place.unlink(missing_ok=True)
        place.symlink_to(outside / target)

    return spoil


def pipe(name: str) -> Spoil:
    def spoil(run: Path, outside: Path) -> None:
        (run / name).unlink(missing_ok=True)
        os.mkfifo(run / name)

    return spoil


def text(content: str) -> Spoil:
    """The manifest is this text."""
    return lambda run, outside: (run / "manifest.json").write_text(content)


def replaced(old: str, new: str) -> Spoil:
    """A part of the manifest's text is another."""

    def spoil(run: Path, outside: Path) -> None:
        content = (run / "manifest.json").read_text()
        assert old in content
        (run / "manifest.json").write_text(content.replace(old, new, 1))

    return spoil


def huge(run: Path, outside: Path) -> None:
    with (run / "manifest.json").open("r+b") as stream:
        stream.truncate(10 * 2**40)  # sparse: takes no room on the disk


def wrong(**values: Any) -> Spoil:
    return edited(lambda m, out: m.update(values))


def staged(**values: Any) -> Spoil:
    return edited(lambda m, out: m["stages"]["search"].update(values))


CASES: dict[str, Spoil] = {
    # names that lead out
    "stage file above": listed("../outside/key"),
    "stage file absolute": listed("OUT/key"),
    "stage file out and in": listed("network/../../outside/key"),
    "stage file is the manifest": listed("manifest.json"),
    "stage file is the folder": listed("."),
    "stage file with a null": listed("a\0b"),
    "stage file with a surrogate": replaced('"report.html"', '"\\ud800"'),
    "stage file dotted": listed("./network//network.json"),
    "checkpoint above": checkpoint("../outside/old-1.safetensors"),
    "checkpoint absolute": checkpoint("OUT/old-1.safetensors"),
    "checkpoint out of its folder": checkpoint("checkpoints/../../outside/key"),
    "checkpoint is a result": checkpoint("network/network.json"),
    "file above": edited(lambda m, out: m["files"].update({"../outside/key": DIGEST})),
    "pending above": wrong(pending={"file": "../outside/key", "sha256": DIGEST}),
    "keep above": wrong(reset="report", keep=["../outside/key"]),
    "reset with names above": edited(
        lambda m, out: (m.update(reset="supernet"), m["stages"]["train"]["files"].append("../outside/key"))
    ),
    # links
    "checkpoints is a link": linked("checkpoints", "."),
    "network is a link": linked("network", "network"),
    "supernet is a link": linked("supernet", "supernet"),
    "lock is a link": linked(".lock", "lock"),
    "lock is a broken link": linked(".lock", "nothing"),
    "manifest is a link": linked("manifest.json", "manifest.json"),
    "settings are a link": linked("config.yaml", "config.yaml"),
    "progress is a link": linked("progress.json", "progress.json"),
    "archive is a link": linked("archive.sqlite", "archive.sqlite"),
    "log of the archive is a link": linked("archive.sqlite-wal", "key"),
    "weights are a link": linked("supernet/trained.safetensors", "supernet/trained.safetensors"),
    "report is a link": linked("report.html", "report.html"),
    # what is no file
    "lock is a pipe": pipe(".lock"),
    "progress is a pipe": pipe("progress.json"),
    "settings are a pipe": pipe("config.yaml"),
    "weights are a pipe": pipe("supernet/trained.safetensors"),
    "report is a pipe": pipe("report.html"),
    "manifest is a pipe": pipe("manifest.json"),
    # manifests that are none
    "nested": text("[" * 100_000 + "]" * 100_000),
    "NaN": replaced('"seconds": ', '"seconds": NaN, "x": '),
    "infinite": replaced('"seconds": ', '"seconds": 1e999, "x": '),
    "digits": replaced('"seconds": ', f'"seconds": {"9" * 10_000}, "x": '),
    "huge": huge,
    "no UTF-8": lambda run, outside: (run / "manifest.json").write_bytes(b"\xff\xfe{}"),
    "format is a list": wrong(format=[1]),
    "format is true": wrong(format=True),
    "terminal escapes": wrong(created="\x1b]0;owned\x07"),
    "turned writing": wrong(lowland="0.1\u202e"),
    "stage unknown": edited(lambda m, out: m["stages"].update(sabotage={"status": "done", "files": []})),
    "stage is a list": edited(lambda m, out: m["stages"].update(search=[])),
    "status unknown": staged(status="half"),
    "seconds are text": staged(seconds="1"),
    "facts are a list": staged(facts=[1]),
    "files are text": staged(files="report.html"),
    "file is a number": staged(files=[1]),
    "checkpoints of a number": edited(lambda m, out: m["checkpoints"].update(train=3)),
    "checkpoint is empty": edited(lambda m, out: m["checkpoints"].update(train=[{}])),
    "checksum is a number": edited(lambda m, out: m["files"].update({"report.html": 5})),
    "pending is text": wrong(pending="report.html"),
    "reset unknown": wrong(reset="everything"),
    "settings are a number": wrong(config=4),
    "data is a list": wrong(data=[]),
}


def schemed(statement: str) -> Spoil:
    """The archive holds a program."""

    def spoil(run: Path, outside: Path) -> None:
        with closing(sqlite3.connect(run / "archive.sqlite")) as connection, connection:
            connection.execute(statement)

    return spoil


ARCHIVES: dict[str, Spoil] = {
    "trigger": schemed("CREATE TRIGGER t AFTER UPDATE ON candidates BEGIN DELETE FROM candidates; END"),
    "view": schemed("CREATE VIEW v AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT * FROM n"),
    "genes": schemed("UPDATE candidates SET genes = 'a'"),
    "details": schemed(f"UPDATE candidates SET details = '{'[' * 90_000}'"),
}


def described(change: Callable[[dict[str, Any]], object]) -> Spoil:
    """Change the description of a delivered network."""

    def spoil(run: Path, outside: Path) -> None:
        file = run / "network" / "network.json"
        values = json.loads(file.read_text())
        change(values)
        file.write_text(json.dumps(values))

    return spoil


def shaped(**values: Any) -> Spoil:
    return described(lambda d: d["shape"].update(values))


NETWORKS: dict[str, Spoil] = {
    "description is a link": linked("network/network.json", "network/network.json"),
    "weights are a link": linked("network/network.safetensors", "supernet/trained.safetensors"),
    "folder is a link": linked("network", "network"),
    "description is a pipe": pipe("network/network.json"),
    "weights are a pipe": pipe("network/network.safetensors"),
    "cells": shaped(cells=100_000),
    "cells within": shaped(cells=900),
    "channels": shaped(channels=10**9),
    "channels within": shaped(channels=4000),
    "image": shaped(image_size=10**7),
    "size is text": shaped(cells="1"),
    "size is true": shaped(cells=True),
    "size is missing": described(lambda d: d["shape"].pop("cells")),
    "stem": shaped(stem="x"),
    "genes": described(lambda d: d.update(genes=[0.5])),
    "genes nested": described(lambda d: d.update(genes=[[1]])),
    "genes outside": described(lambda d: d.update(genes=[99] * 6)),
    "space": described(lambda d: d.update(space={"a": 1})),
    "space unknown": described(lambda d: d.update(space="nowhere")),
    "classes fewer": described(lambda d: d["classes"].pop()),
    "classes numbers": described(lambda d: d.update(classes=list(range(len(d["classes"]))))),
    "mean": described(lambda d: d.update(mean=["0"])),
    "mean nan": described(lambda d: d.update(mean=[float("nan")])),
    "std zero": described(lambda d: d.update(std=[0.0])),
    "fit": described(lambda d: d.update(fit="stretch")),
    "facts": described(lambda d: d.update(facts=3)),
    "facts missing": described(lambda d: d.pop("facts")),
    "field unknown": described(lambda d: d.update(digesu="")),
    "digest wrong": described(lambda d: d.update(digest=DIGEST)),
    "checksum": described(lambda d: d.update(sha256=DIGEST)),
    "nested": lambda run, outside: (run / "network" / "network.json").write_text("[" * 100_000),
}
