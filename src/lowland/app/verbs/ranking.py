"""Verbs that compare measures with ground truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowland.app import console
from lowland.app.options import Given, JsonOutput, layers, takes


def truth(
    release: Annotated[
        Path, typer.Argument(help="NAS-Bench-201-v1_*.pth, NATS-tss-v1_0-*.pickle.pbz2, or NATS-tss-v1_0-*-simple/.")
    ],
    out_path: Annotated[Path, typer.Option("--out", help="File to write, .csv or .csv.gz.")] = Path("truth.csv"),
    dataset: Annotated[str, typer.Option("--dataset", help="cifar10, cifar100 or ImageNet16-120.")] = "cifar10",
) -> None:
    """Convert an official NAS-Bench-201 or NATS-Bench release to the CSV that `lowland rank` reads."""
    from lowland.evaluation.ranking.convert import convert

    found = convert(release, out_path, dataset)  # type: ignore[arg-type]  # checked, and refused in one sentence
    left = f"; {found.left_out:,} without a test accuracy left out" if found.left_out else ""
    facts = f"{found.architectures:,} architectures, {found.classes:,} distinct, up to {found.most_seeds} seeds{left}"
    console.say([f"written  {out_path}: {facts}"])


@takes(
    *("data", "space", "preset", "epochs", "seed", "image_size", "data_root", "download", "device", "plugins"),
    *("config", "settings"),
)
def rank(
    given: Given,
    truth: Annotated[
        Path, typer.Option("--truth", help="CSV file of architectures and their true accuracies.", show_default=False)
    ],
    measures: Annotated[
        str, typer.Option("--measures", help="Measures, sums, or with settings: flatness(alpha=0), comma-separated.")
    ] = "accuracy,loss,angle,flatness,angle+flatness",
    rank_sums: Annotated[
        list[str] | None,
        typer.Option("--rank-sum", help="Also the sum of the ranks by these measures. Repeatable.", show_default=False),
    ] = None,
    log_rank_sums: Annotated[
        list[str] | None,
        typer.Option(
            "--log-rank-sum", help="Also the sum of log(rank/n), the best n, by these. Repeatable.", show_default=False
        ),
    ] = None,
    sample: Annotated[int, typer.Option("--sample", help="Random distinct genotypes of the file; 0: all.")] = 1000,
    sample_seed: Annotated[int, typer.Option("--sample-seed", help="Decides which, and the resamples.")] = 0,
    truth_column: Annotated[
        str, typer.Option("--truth-column", help="Column of true accuracies, in distribution.")
    ] = "test_acc",
    shift_column: Annotated[
        str | None,
        typer.Option("--shift-column", help="Column of accuracies under shift \\[default: corrupt_mean, if there]."),
    ] = None,
    resamples: Annotated[int, typer.Option("--resamples", help="Bootstrap resamples behind intervals.")] = 1000,
    supernets: Annotated[
        list[Path] | None,
        typer.Option(
            "--supernet",
            help="Run directory whose supernet is used; else one is trained. Repeatable: ranks are then summed.",
            show_default=False,
        ),
    ] = None,
    out_path: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.")] = Path("runs/rank"),
    json_output: JsonOutput = False,
) -> None:
    """Compare how measures rank architectures with how full training ranks them."""
    from lowland.app.display import ranking_lines, stoppable
    from lowland.app.shown import shown
    from lowland.workflow.rank import RankingRequest
    from lowland.workflow.rank import rank as compare

    request = RankingRequest(
        truth=truth,
        measures=_names(measures),
        rank_sums=tuple(_names(text) for text in rank_sums or ()),
        log_rank_sums=tuple(_names(text) for text in log_rank_sums or ()),
        sample=sample,
        sample_seed=sample_seed,
        truth_column=truth_column,
        shift_column=shift_column,
        resamples=resamples,
    )
    display = shown(console.out, "none" if json_output else "auto")
    with stoppable(display):
        document = compare(request, out_path, layers(given), supernets=supernets or (), monitor=display)
    if json_output:
        console.print_json(document)
        return
    console.say(ranking_lines(document, out_path, console.out.width))


def _names(text: str) -> tuple[str, ...]:
    from lowland.measures.expression import split

    return tuple(name for name in split(text, ",") if name)
