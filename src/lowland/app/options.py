"""The options that several verbs of the command line share: their types and their help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Data = Annotated[
    str | None, typer.Option("--data", help="Data set name, image folder or .npz file.", show_default=False)
]
SpaceName = Annotated[str | None, typer.Option("--space", help="Search space (`lowland spaces`).", show_default=False)]
MeasureName = Annotated[
    str | None, typer.Option("--measure", help="Measure or sum of measures (`lowland measures`).", show_default=False)
]
Strategy = Annotated[
    str | None, typer.Option("--strategy", help="evolution, pareto, random or exhaustive.", show_default=False)
]
Objective = Annotated[
    list[str] | None,
    typer.Option(
        "--objective",
        help="What the pareto strategy trades off: error, robustness, flatnas(alpha=0.5), params, macs, latency, any "
        "measure. Repeatable; implies --strategy pareto.",
        show_default=False,
    ),
]
MaxParams = Annotated[
    str | None, typer.Option("--max-params", help="Largest number of parameters, such as 1.0M.", show_default=False)
]
MaxMacs = Annotated[
    str | None, typer.Option("--max-macs", help="Most multiply-accumulates, such as 50M.", show_default=False)
]
Preset = Annotated[
    str | None,
    typer.Option("--preset", help="quick, standard, paper, flatnas; add +compat for the public code's quirks."),
]
Recipe = Annotated[
    str | None,
    typer.Option("--recipe", help="Retraining recipe: quick, cifar, imagenet, nasbench201.", show_default=False),
]
Optimizer = Annotated[
    str | None,
    typer.Option(
        "--optimizer",
        help="Retraining optimiser: sgd, adamw, or with +sam or +asam; for the supernet: --set supernet.optimizer=….",
        show_default=False,
    ),
]
Top = Annotated[
    int | None, typer.Option("--top", help="How many of the best genotypes to retrain.", show_default=False)
]
Suites = Annotated[
    list[str] | None,
    typer.Option(
        "--suite",
        help="What the networks are judged by: classification, corruptions, landscape. Repeatable, or comma-separated.",
        show_default=False,
    ),
]
Epochs = Annotated[int | None, typer.Option("--epochs", help="Supernet training epochs.", show_default=False)]
RetrainEpochs = Annotated[int | None, typer.Option("--retrain-epochs", help="Retraining epochs.", show_default=False)]
Seed = Annotated[int | None, typer.Option("--seed", help="Run seed.", show_default=False)]
OutPath = Annotated[Path | None, typer.Option("--out", help="Run directory to make.", show_default=False)]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", help="Folder of torchvision data sets.", show_default=False)
]
Download = Annotated[bool, typer.Option("--download", help="Let torchvision download a missing data set.")]
ImageSize = Annotated[
    int | None, typer.Option("--image-size", help="Resize images to this square.", show_default=False)
]
Device = Annotated[str | None, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.", show_default=False)]
ConfigFile = Annotated[Path | None, typer.Option("--config", help="YAML file of settings.", show_default=False)]
Settings = Annotated[
    list[str] | None, typer.Option("--set", help="Any setting: section.key=value. Repeatable.", show_default=False)
]
RunDirectory = Annotated[Path, typer.Argument(help="Run directory.")]
