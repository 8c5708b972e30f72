"""`lowland evaluate RUN --suite … --data-root …` and `--ood` in a whole run, and refusals that lose nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from lowland.store.run import Run
from published_sets import pictures
from whole_runs import Command, content, results


def test_other_folders_are_judged_beside_what_the_run_has(
    finished: Path, tmp_path: Path, lowland: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("dtd", "noise"):
        pictures(tmp_path / name, {"a": [3, 9], "b": [30]})
    monkeypatch.chdir(tmp_path)
    before = content(finished / "evaluation")
    said = lowland("evaluate", finished, "--ood", "dtd", "--ood", "noise")
    assert said.code == 0, said.err
    found = results(finished, "ood")
    assert [(each["title"], each["others"]) for each in found["sets"]] == [("dtd", 3), ("noise", 3)]
    with Run.open(finished, read_only=True) as opened:
        assert opened.config.evaluate.suites == ("classification", "corruptions", "landscape", "ood")
        assert opened.config.evaluate.options["ood"] == {"folders": [str(tmp_path / "dtd"), str(tmp_path / "noise")]}
        assert opened.verify() == []
    assert {name: each for name, each in content(finished / "evaluation").items() if name in before} == before
    assert "dtd AUROC" in lowland("resume", finished).out
    page = (finished / "report.html").read_text()
    assert "Pictures of other things" in page
    # Other pictures under the same names are judged anew; what is out of reach stays.
    pictures(tmp_path / "dtd", {"a": [3, 9, 17]})
    assert lowland("resume", finished, "--restart", "evaluate").code == 0
    assert [each["others"] for each in results(finished, "ood")["sets"]] == [4, 3]
    (tmp_path / "dtd").rename(tmp_path / "gone")
    assert lowland("evaluate", finished, "--suite", "classification").code == 0
    assert [each["others"] for each in results(finished, "ood")["sets"]] == [4, 3]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--suite", "imagenet-b"), ["unknown suite 'imagenet-b'", "did you mean imagenet-"]),
        (("--suite", "imagenet-a"), ["ImageNet-A: the networks' class '0' is not ImageNet's", "judge a network"]),
        (("--suite", "ood"), ["give --ood FOLDER"]),
        (("--ood", "nowhere"), ["nowhere is not a folder"]),
    ],
)
def test_what_cannot_be_judged_is_one_sentence_and_nothing_changes(
    arguments: tuple[str, ...], words: list[str], finished: Path, lowland: Command
) -> None:
    before = content(finished)
    fault = lowland("evaluate", finished, *arguments).fault
    assert all(word in fault for word in words), fault
    assert content(finished) == before
