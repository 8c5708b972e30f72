"""Damage: every file of a finished and of two half-way runs, mutated; whatever reads it says so or does its work.

What makes a mutant cheap, and loses nothing: candidates are scored by two measures; a half-way run is carried to its
evaluation, which leaves out a page that nobody would compare; and a page whose facts are those of the undamaged run is
not drawn again, since the same facts give the same bytes (`report.page.write`).
"""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from processes import TINY, Ended, apart, command, result

from lowland.workflow import reporting

STATES = ("finished", "searching", "training")
VERBS = {
    "finished": ("status", "load", "report", "resume"),
    "searching": ("status", "evaluate"),
    "training": ("status", "evaluate"),
}
KINDS = ("bit", "bits", "truncated", "doubled", "garbage", "emptied", "digit", "deleted")
RANDOM = ("bit", "bits", "truncated", "garbage", "digit")
"""Kinds of damage that are another one each time; the others are done once to a file."""


def carried(run: Path) -> None:
    """A whole tiny run."""
    from lowland.core.monitor import Monitor
    from lowland.workflow import pipeline
    from lowland.workflow.presets import assemble

    pipeline.run(assemble(TINY, {"measure": {"name": "angle+flatness"}}), run, monitor=Monitor())


def undrawn(known: list[tuple[Any, str]]) -> None:
    """From now on, in this process, a page of known facts is not drawn; what is drawn is known from then on."""
    from lowland.report import page

    drawn = page.render

    def render(facts: Any) -> str:
        for each, text in known:
            if each == facts:
                return text
        known.append((facts, drawn(facts)))
        return known[-1][1]

    page.render = render


def made(folder: Path, state: str) -> Path:
    """A run in one of the states; at the same place every time, which settings and pages may name."""
    run = folder / state
    if run.exists():
        return run

    def stopped() -> None:
        from lowland.search import Archive
        from lowland.store.checkpoints import Checkpoints

        owner, name, most = (Archive, "record_all", 3) if state == "searching" else (Checkpoints, "save_checkpoint", 2)
        done, real = 0, getattr(owner, name)

        def counted(*arguments: Any) -> Any:
            nonlocal done
            found = real(*arguments)
            done += 1
            if done == most:
                os.kill(os.getpid(), signal.SIGKILL)
            return found

        setattr(owner, name, counted)
        carried(folder / "case")

    shutil.rmtree(folder / "case", ignore_errors=True)
    ended = apart((lambda: carried(folder / "case")) if state == "finished" else stopped, limit=600)
    assert ended.code == (0 if state == "finished" else -signal.SIGKILL), ended.output[-2000:]
    (folder / "case").rename(run)
    return run


def mutated(content: bytes, kind: str, generator: random.Random) -> bytes | None:
    """The content, damaged; None: deleted. The same bytes where it cannot be damaged so."""
    changed = bytearray(content)
    if kind == "deleted":
        return None
    if kind == "emptied" or (not content and kind != "garbage"):
        return b""
    if not content:
        return generator.randbytes(16)
    if kind in ("bit", "bits"):
        for _ in range(1 if kind == "bit" else 8):
            changed[generator.randrange(len(changed))] ^= 1 << generator.randrange(8)
        return bytes(changed)
    if kind == "truncated":
        return content[: generator.randrange(len(content))]
    if kind == "doubled":
        return content + content
    if kind == "garbage":
        place = generator.randrange(len(content))
        return content[:place] + generator.randbytes(16) + content[place + 16 :]
    digits = [place for place, byte in enumerate(content) if 48 <= byte <= 57]
    if digits:
        place = generator.choice(digits)
        changed[place] = generator.choice([digit for digit in range(48, 58) if digit != content[place]])
    return bytes(changed)


def loading(run: Path) -> Callable[[], None]:
    """Load the delivered network and print a digest of what it says of fixed pictures."""

    def call() -> None:
        import torch

        import lowland
        from lowland.core.errors import LowlandError

        try:
            network = lowland.load(run)
        except LowlandError as error:
            print(f"error: {error}")
            raise SystemExit(2) from None
        shape = network.shape
        x_NCHW = torch.rand(4, shape.in_channels, shape.image_size, shape.image_size, generator=torch.manual_seed(0))
        with torch.no_grad():
            logits_NK = network.body.eval()(x_NCHW)
        print(hashlib.sha256(logits_NK.numpy().tobytes()).hexdigest(), network.classes)

    return call


def kind_of(file: Path) -> str:
    """Kind of a file of a run: its place, of checkpoints their folder."""
    return f"{file.parent.name}/*{file.suffix}" if file.parent.name == "checkpoints" else file.as_posix()


def did(verb: str, run: Path) -> Ended:
    """Do a verb with a run, in a process of its own."""
    return apart(loading(run) if verb == "load" else command(verb, run), limit=180)


def seen(verb: str, run: Path, ended: Ended) -> Any:
    """What somebody has in hand after a verb that ended well."""
    if verb in ("resume", "evaluate"):
        return result(run)
    return (run / "report.html").read_bytes() if verb == "report" else ended.output


def mutants(folder: Path, seed: int, begin: int) -> Iterator[dict[str, Any]]:
    """Mutants of all kinds of files in turn, from the `begin`-th on; of a kind, the files of all states in turn.

    What cannot be damaged in one way (a bit of an empty file) is left out.

    Yields:
        For each mutant: state, file, kind of damage, and by verb how it ended: `done`, `refused`, `traceback`, `hang`,
        `wrong` (done, but something else than without damage, and without a warning).
    """
    case = folder / "case"
    expected: dict[tuple[str, str], Any] = {}
    whole: dict[str, str] = {}
    for state in STATES:
        made(folder, state)
        if state == "finished":  # a page drawn in this process is known to all that are forked from it
            shutil.rmtree(case, ignore_errors=True)
            shutil.copytree(folder / state, case)
            undrawn([])
            reporting.report(case)
        for verb in VERBS[state]:
            shutil.rmtree(case, ignore_errors=True)
            shutil.copytree(folder / state, case)
            ended = did(verb, case)
            assert ended.code == 0, (state, verb, ended)
            expected[state, verb] = seen(verb, case, ended)
            if verb in ("resume", "evaluate"):
                whole = whole or expected[state, verb]
                assert expected[state, verb] == whole, "without damage all end alike"
    kinds: dict[str, list[tuple[str, Path]]] = {}
    for state in STATES:
        for path in sorted((folder / state).rglob("*")):
            if path.is_file():
                kinds.setdefault(kind_of(path.relative_to(folder / state)), []).append((state, path))
    number = begin
    while True:
        turn, place = divmod(number, len(kinds))
        files = list(kinds.values())[place]
        turn, which = divmod(turn, len(files))
        state, path = files[which]
        file = path.relative_to(folder / state)
        kind = KINDS[turn] if turn < len(KINDS) else RANDOM[turn % len(RANDOM)]
        generator = random.Random(f"{seed} {number}")
        content = mutated(path.read_bytes(), kind, generator)
        row: dict[str, Any] = {"number": number, "state": state, "file": file.as_posix(), "kind": kind, "verbs": {}}
        number += 1
        if content == path.read_bytes():
            yield row
            continue
        for verb in VERBS[state]:
            shutil.rmtree(case, ignore_errors=True)
            shutil.copytree(folder / state, case)
            if content is None:
                (case / file).unlink()
            else:
                (case / file).write_bytes(content)
            ended = did(verb, case)
            how = ended.fault or ("done" if ended.code == 0 else "refused")
            said = ("damaged", "progress.json is missing")
            told = "warning" in ended.output.lower() or any(words in ended.output for words in said)
            if how == "done" and not told and seen(verb, case, ended) != expected[state, verb]:
                how = "wrong"
            row["verbs"][verb] = how
            if how not in ("done", "refused"):
                row["said"] = ended.output.replace(str(case), "RUN")[-1500:]
        yield row
