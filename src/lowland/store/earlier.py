"""Earlier delivered networks: one stays where it is until the next is complete, then it is numbered in history/<n>/.

A reset of the training leaves the delivered networks alone and notes them (`earlier` in the manifest). New ones are
made in `incoming/`. When all are complete, `exchange` notes in the manifest what it is about to do and moves whole
folders, so that at every instant a complete network lies in `network/` or, between two moves, in `incoming/network/`,
where `lowland.load` finds it. What a stop leaves half-way is finished when the run is next opened.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lowland.core import settings
from lowland.core.errors import RunError
from lowland.core.files import json_text
from lowland.store import inside
from lowland.store.ledger import Ledger
from lowland.store.manifest import INCOMING, NETWORK, NETWORKS, STAGES, intact
from lowland.store.manifest_check import Fault, parsed

EARLIER = "history"
RECORD = "earlier.json"
FORMAT = 1
TRAIN = "train"
"""The stage that delivers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EarlierNetwork:
    """A network that was delivered before the present one.

    Attributes:
        number: It lies in history/<number>/.
        made: When its training began, UTC; None where that is not known.
        settings: All settings of the run then.
        description: What its network.json holds; empty where it cannot be read.
        bytes: Of its files.
    """

    number: int
    made: str | None
    settings: Mapping[str, Any]
    description: Mapping[str, Any]
    bytes: int


class Earlier(Ledger):
    """The delivered networks of a run that a new training supersedes."""

    def _supersede(self, first: str, keep: Sequence[str]) -> None:
        """Note the delivered networks as earlier ones, where a reset from stage `first` on lets others be trained."""
        if STAGES.index(first) > STAGES.index(TRAIN) or NETWORK in keep or "earlier" in self.manifest:
            return
        stage = self._stage(TRAIN)
        files = [file for file in stage.get("files", ()) if _folder(file) is not None]
        if f"{NETWORK}/network.json" in files:
            noted = {"files": files, "made": stage.get("started"), "config": settings.dump(self.config)}
            self.manifest["earlier"] = noted

    def superseded(self, folder: str) -> bool:
        """Whether what lies in a folder of a network is an earlier one."""
        return any(_folder(file) == folder for file in self.manifest.get("earlier", {}).get("files", ()))

    def exchange(self, folders: Sequence[str]) -> None:
        """Put the complete networks of `incoming/` into their `folders`, and what lay there into history/<n>/."""
        self._require_writer()
        arrived = [folder for folder in folders if inside.files(self.path, f"{INCOMING}/{folder}")]
        if not arrived and "earlier" not in self.manifest:
            return
        number = max(_numbers(inside.files(self.path, EARLIER)), default=0) + 1  # also past what is not the run's
        self.manifest["exchange"] = {"folders": arrived, "number": number}
        self._write_manifest()
        self._finish_exchange()

    def _finish_exchange(self) -> None:
        """Carry out the exchange noted in the manifest, from wherever a stop left it."""
        todo, earlier = self.manifest["exchange"], self.manifest.get("earlier")
        place = f"{EARLIER}/{todo['number']}"
        if earlier is not None:
            self._write_record(place, todo["number"], earlier)
        old = {folder for file in (earlier or {}).get("files", ()) if (folder := _folder(file)) is not None}
        for folder in [*todo["folders"], *sorted(old - {*todo["folders"]})]:
            arriving = folder in todo["folders"]
            if arriving and not inside.files(self.path, f"{INCOMING}/{folder}"):
                continue  # moved before a stop
            if folder in old and inside.files(self.path, folder):
                inside.move(self.path, folder, f"{place}/{folder}")
            if arriving:
                self._bring(folder)
        if earlier is not None:
            self._note_earlier(place, earlier["files"])
        self._prune()
        inside.delete_empty_folders(self.path, INCOMING)
        inside.delete_empty_folders(self.path, NETWORKS)
        inside.delete_empty_folders(self.path, EARLIER)
        self.manifest.pop("earlier", None)
        del self.manifest["exchange"]
        self._write_manifest()

    def _bring(self, folder: str) -> None:
        """Move a folder of `incoming/` to its place; file by file where an unfinished training left a folder there."""
        arriving = f"{INCOMING}/{folder}"
        if not inside.files(self.path, folder):
            inside.delete_empty_folders(self.path, folder)
            inside.move(self.path, arriving, folder)
            return
        for file in inside.files(self.path, arriving):
            inside.move(self.path, file, file.removeprefix(f"{INCOMING}/"))

    def _write_record(self, place: str, number: int, earlier: Mapping[str, Any]) -> None:
        values = settings.parse(earlier["config"], f"the earlier settings in the manifest of {self.path}")
        record = {"format": FORMAT, "number": number, "made": earlier["made"], "settings": values}
        inside.write_text(self.path, f"{place}/{RECORD}", json_text(record))
        self.manifest["files"][f"{place}/{RECORD}"] = inside.sha256(self.path, f"{place}/{RECORD}")

    def _note_earlier(self, place: str, files: Sequence[str]) -> None:
        """The checksums go with the files; a damaged network is no history."""
        known = self.manifest["files"]
        moved = {f"{place}/{file}": known.pop(file) for file in files if file in known}
        known |= moved
        if any(intact(self.path, file, digest) is None for file, digest in moved.items()):
            self._forget(place)

    def _prune(self) -> None:
        numbers = sorted(self._numbers())
        for number in numbers[: max(0, len(numbers) - self.config.history)]:
            self._forget(f"{EARLIER}/{number}")

    def _forget(self, place: str) -> None:
        """Delete the noted files of an earlier network; whatever else a person put there stays."""
        for file in [file for file in self.manifest["files"] if file.startswith(f"{place}/")]:
            inside.delete(self.path, file)
            del self.manifest["files"][file]
        inside.delete_empty_folders(self.path, place)

    def _numbers(self) -> set[int]:
        """Numbers of the earlier networks that are kept."""
        return _numbers(file for file in self.manifest["files"] if file.endswith(f"/{RECORD}"))

    def earlier_networks(self) -> list[EarlierNetwork]:
        """The earlier networks that are kept, the latest first.

        Returns:
            What is known of each.

        Raises:
            RunError: a record is damaged or of a later format.
        """
        return [self._earlier_network(number) for number in sorted(self._numbers(), reverse=True)]

    def _earlier_network(self, number: int) -> EarlierNetwork:
        place = f"{EARLIER}/{number}"
        content = intact(self.path, f"{place}/{RECORD}", self.manifest["files"][f"{place}/{RECORD}"])
        if content is None:
            raise RunError(f"{self.path / place / RECORD} is damaged or missing; put back a good copy")
        record = parsed(content)
        if record["format"] != FORMAT:
            raise RunError(f"{self.path / place / RECORD} is of a later lowland: use the version that wrote it")
        return EarlierNetwork(
            number=number,
            made=record["made"],
            settings=record["settings"],
            description=self.description(f"{place}/{NETWORK}"),
            bytes=inside.size(self.path, place),
        )

    def description(self, folder: str) -> dict[str, Any]:
        """What the network.json of a folder holds; empty where there is none, or a damaged one."""
        file = f"{folder}/network.json"
        content = intact(self.path, file, self.manifest["files"].get(file, ""))
        try:
            values = parsed(content) if content is not None else {}
        except Fault:
            return {}
        return values if isinstance(values, dict) else {}


def _numbers(files: Iterable[str]) -> set[int]:
    """The numbers n of files in history/<n>/."""
    found = (re.match(rf"{EARLIER}/([0-9]{{1,9}})/", file) for file in files)
    return {int(each[1]) for each in found if each}


def _folder(file: str) -> str | None:
    """The folder of a network that a file of the run lies in: `network` or `networks/<rank>`."""
    folder, _, name = file.rpartition("/")
    return folder if name and (folder == NETWORK or folder.startswith(f"{NETWORKS}/")) else None
