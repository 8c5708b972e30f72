"""Checkpoints on another disk (`checkpoints_to`): a folder outside of a run directory that bears the run's mark.

A run directory may come from anybody, and its settings and its manifest may name any folder. One is therefore used only
where it holds a mark that this run left there itself: the run's secret, and the place of the run. Only what a person
says, when a run is begun or by `--checkpoints-to`, makes or adopts one.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, Self

from lowland.core.errors import RunError
from lowland.core.files import json_text
from lowland.store import inside
from lowland.store.manifest import CHECKPOINTS
from lowland.store.manifest_check import Fault, parsed

MARK = "lowland-checkpoints.json"
MOST_BYTES = 2**16


@dataclass(frozen=True, slots=True)
class Store:
    """Where a run's checkpoints lie, as its manifest notes it.

    Attributes:
        folder: Of this run alone, absolute.
        secret: Random, hexadecimal; the mark has the same.
    """

    folder: str
    secret: str

    @classmethod
    def make(cls, within: Path, run: Path) -> Self:
        """Make a folder for the checkpoints of `run`, with its mark.

        Returns:
            What the manifest is to note.

        Raises:
            RunError: It cannot be written.
        """
        secret = token_hex(16)
        folder = within.expanduser().absolute() / f"lowland-{secret[:12]}"
        inside.make_root(folder)
        store = cls(str(folder), secret)
        store.mark(run)
        return store

    @classmethod
    def of(cls, manifest: dict[str, Any]) -> Self | None:
        """The store that a sound manifest notes; None where the checkpoints lie in the run itself."""
        return cls(**manifest["store"]) if "store" in manifest else None

    def to_json(self) -> dict[str, Any]:
        """As the manifest notes it."""
        return asdict(self)

    def mark(self, run: Path) -> None:
        """Say in the folder whose it is; RunError where it cannot be written."""
        mark = {"secret": self.secret, "run": str(run.resolve())}
        inside.write_text(Path(self.folder), MARK, json_text(mark))

    def marked(self) -> bool:
        """Whether the folder bears the secret, whatever run it names."""
        try:
            mark = parsed(inside.read(Path(self.folder), MARK, MOST_BYTES))
        except (OSError, Fault, RunError):
            return False
        return isinstance(mark, dict) and mark.get("secret") == self.secret

    def leave(self) -> None:
        """Take the mark away, and the folders of checkpoints with it where they are empty."""
        inside.delete(Path(self.folder), MARK)
        inside.delete_empty_folders(Path(self.folder), CHECKPOINTS)

    def require(self, run: Path) -> Path:
        """Check that the folder is this run's.

        Returns:
            The folder.

        Raises:
            RunError: It is out of reach, bears no mark, or that of another run.
        """
        folder = Path(self.folder)
        adopt = f"`lowland resume {run} --checkpoints-to {folder.parent}`"
        try:
            mark = parsed(inside.read(folder, MARK, MOST_BYTES))
        except (OSError, Fault) as error:
            raise RunError(
                f"the checkpoints of {run} lie in {folder} (checkpoints_to), which is out of reach or has lost its "
                f"{MARK}; make it reachable, or do without them: `lowland resume {run} --checkpoints-to {run}`"
            ) from error
        if not isinstance(mark, dict) or mark.get("secret") != self.secret:
            raise RunError(f"{folder}, where the checkpoints of {run} should lie, is another run's; nothing is touched")
        if mark.get("run") != str(run.resolve()):
            raise RunError(
                f"the checkpoints in {folder} belong to the run at {json.dumps(mark.get('run'))[:300]}, not to {run}; "
                f"if it is that run and was moved here, say so: {adopt}"
            )
        return folder
