"""The command line: verbs only. Parse, call the pipeline, print."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table
from typer.exceptions import TyperException

from lowland.app.options import (
    ConfigFile,
    Data,
    DataRoot,
    Device,
    Download,
    Epochs,
    ImageSize,
    MaxMacs,
    MaxParams,
    MeasureName,
    Objective,
    Optimizer,
    OutPath,
    Preset,
    Recipe,
    RetrainEpochs,
    RunDirectory,
    Seed,
    Settings,
    SpaceName,
    Strategy,
    Suites,
    Top,
)
from lowland.core.errors import InterruptedRun, LowlandError, LowlandWarning

app = typer.Typer(
    name="lowland",
    help="Find, train and deliver neural networks that lie in wide, low valleys of the loss surface.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
out = Console()
err = Console(stderr=True)


@app.command()
def run(
    data: Data = None,
    space: SpaceName = None,
    measure: MeasureName = None,
    strategy: Strategy = None,
    objective: Objective = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    preset: Preset = None,
    recipe: Recipe = None,
    optimizer: Optimizer = None,
    top: Top = None,
    suite: Suites = None,
    epochs: Epochs = None,
    retrain_epochs: RetrainEpochs = None,
    seed: Seed = None,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    config: ConfigFile = None,
    settings: Settings = None,
    out_path: OutPath = None,
) -> None:
    """Search, retrain, judge and deliver a network: everything, in one go."""
    _new(locals(), last="report")


@app.command()
def search(
    run_directory: Annotated[Path | None, typer.Argument(help="Existing run directory; without it a new run.")] = None,
    data: Data = None,
    space: SpaceName = None,
    measure: MeasureName = None,
    strategy: Strategy = None,
    objective: Objective = None,
    max_params: MaxParams = None,
    max_macs: MaxMacs = None,
    preset: Preset = None,
    epochs: Epochs = None,
    seed: Seed = None,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    config: ConfigFile = None,
    settings: Settings = None,
    out_path: OutPath = None,
) -> None:
    """Train the supernet and rank candidates; nothing is retrained."""
    given = {key: value for key, value in locals().items() if key != "run_directory"}
    if run_directory is None:
        _new(given, last="search")
        return
    options = _layers(given)
    _continue(run_directory, last="search", changes=options)


@app.command()
def supernet(run_directory: RunDirectory) -> None:
    """Train the supernet of a run, and stop there."""
    _continue(run_directory, last="supernet")


@app.command()
def train(
    run_directory: RunDirectory,
    top: Top = None,
    recipe: Recipe = None,
    optimizer: Optimizer = None,
    retrain_epochs: RetrainEpochs = None,
    settings: Settings = None,
) -> None:
    """Train the best genotypes of a run (after supernet and search, if those are missing)."""
    given = {
        "top": top,
        "recipe": recipe,
        "optimizer": optimizer,
        "retrain_epochs": retrain_epochs,
        "settings": settings,
    }
    _continue(run_directory, last="train", changes=_layers(given))


@app.command()
def evaluate(
    run_directory: RunDirectory,
    corrupted: Annotated[
        Path | None,
        typer.Option("--corrupted", help="Folder of corrupted test images, as CIFAR-10-C.", show_default=False),
    ] = None,
    suite: Suites = None,
    settings: Settings = None,
) -> None:
    """Judge the delivered networks of a run; only what is missing or asked for anew is done."""
    given = {"corrupted": corrupted, "suite": suite, "settings": settings}
    _continue(run_directory, last="evaluate", changes=_layers(given))


@app.command()
def report(run_directory: RunDirectory) -> None:
    """Write report.html from whatever stages of a run are done."""
    from lowland.workflow import pipeline

    out.print(f"report   {pipeline.report(run_directory)}", highlight=False, soft_wrap=True)


@app.command()
def resume(
    run_directory: RunDirectory,
    restart: Annotated[
        str | None, typer.Option("--restart", help="Do this stage and all later ones again.", show_default=False)
    ] = None,
) -> None:
    """Continue a stopped run to its end."""
    _continue(run_directory, last="report", restart=restart)


@app.command()
def status(run_directory: RunDirectory) -> None:
    """Show what stage a run is in, how far, the best so far and the time left."""
    from lowland.app.display import status_lines
    from lowland.store.run import Run

    for line in status_lines(Run.open(run_directory, read_only=True).status()):
        out.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command()
def flatness(
    model: Annotated[
        str, typer.Argument(help="Run or network folder, timm:NAME, torchvision:NAME, or package.module:function.")
    ],
    data: Data = None,
    weights: Annotated[
        Path | None, typer.Option("--weights", help=".safetensors, or a .pt state dict.", show_default=False)
    ] = None,
    split: Annotated[str, typer.Option("--split", help="train, search or test images.")] = "search",
    sigmas: Annotated[str, typer.Option("--sigmas", help="Noise levels, comma-separated.")] = "2e-3,1e-2,2e-2",
    alpha: Annotated[float, typer.Option("--alpha", help="Weight of the depth term.")] = 1.0,
    draws: Annotated[int, typer.Option("--draws", help="Noise draws per level.")] = 3,
    relative: Annotated[bool, typer.Option("--relative", help="Noise in proportion to each weight.")] = False,
    images: Annotated[int, typer.Option("--images", help="Most images used.")] = 1000,
    seed: Seed = None,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure flatness and depth of a trained PyTorch model, with standard errors."""
    from lowland.workflow import probe

    given = {"data": data, "seed": seed, "image_size": image_size, "data_root": data_root, "download": download}
    result = probe.flatness_of(
        model,
        _assemble(_layers(given | {"device": device})),
        data_given=data is not None,
        weights=weights,
        split=split,
        sigmas=_numbers("--sigmas", sigmas),
        alpha=alpha,
        draws=draws,
        relative=relative,
        images=images,
    )
    if json_output:
        typer.echo(result.to_json())
    else:
        out.print(result.summary(), highlight=False, markup=False)


@app.command()
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
    out.print(f"written  {out_path}: {facts}", highlight=False, markup=False, soft_wrap=True)


@app.command()
def rank(
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
        typer.Option("--shift-column", help="Column of accuracies under shift [default: corrupt_mean, if there]."),
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
    data: Data = None,
    space: SpaceName = None,
    preset: Preset = None,
    epochs: Epochs = None,
    seed: Seed = None,
    image_size: ImageSize = None,
    data_root: DataRoot = None,
    download: Download = False,
    device: Device = None,
    config: ConfigFile = None,
    settings: Settings = None,
    out_path: Annotated[Path, typer.Option("--out", help="Folder to make, or to go on with.")] = Path("runs/rank"),
) -> None:
    """Compare how measures rank architectures with how full training ranks them."""
    given = {
        "data": data,
        "space": space,
        "preset": preset,
        "epochs": epochs,
        "seed": seed,
        "image_size": image_size,
        "data_root": data_root,
        "download": download,
        "device": device,
        "config": config,
        "settings": settings,
    }
    from lowland.app.display import Display, ranking_lines, stoppable
    from lowland.workflow import rank as ranking

    request = ranking.RankingRequest(
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
    display = Display(out)
    with stoppable(display):
        document = ranking.rank(request, out_path, _layers(given), supernets=supernets or (), monitor=display)
    for line in ranking_lines(document, out_path):
        out.print(line, highlight=False, soft_wrap=isinstance(line, str))


@app.command()
def export(
    run_directory: Annotated[Path, typer.Argument(help="Run or network folder.")],
    form: Annotated[str, typer.Option("--format", help="pt2 (torch.export) or onnx.")] = "pt2",
    out_path: Annotated[Path | None, typer.Option("--out", help="File to write.", show_default=False)] = None,
) -> None:
    """Write a delivered network as a torch.export program or as ONNX."""
    from lowland.core.errors import ConfigError
    from lowland.delivery import network as delivery

    writers = {"pt2": delivery.to_program, "onnx": delivery.to_onnx}
    if form not in writers:
        raise ConfigError(f"unknown export format {form!r}; choose pt2 or onnx")
    path = out_path or Path(f"network.{form}")
    writers[form](delivery.load(run_directory), path)
    out.print(f"written  {path}", highlight=False, soft_wrap=True)


@app.command()
def spaces() -> None:
    """List the search spaces."""
    from lowland.spaces import get, registered

    found = [get(name) for name in registered()]
    _listing([(space.name, space.summary, space.source) for space in found])


@app.command()
def measures() -> None:
    """List the measures; sums such as angle+flatness combine them."""
    from lowland.measures import registered

    _listing([(measure.name, measure.summary, measure.source) for measure in registered().values()])


@app.command()
def data() -> None:
    """List the data sets known by name; image folders and .npz files work by path."""
    from lowland.data import catalogue

    _listing([(entry.name, entry.summary, entry.source) for entry in catalogue()])
    out.print("Also by path: an image folder (CLASS/*.png, or train/ and test/ of such), or an .npz file.")


def _listing(rows: list[tuple[str, str, str]]) -> None:
    table = Table.grid(padding=(0, 2))
    for name, summary, source in rows:
        table.add_row(f"[bold]{name}[/bold]", summary, f"[dim]{source}[/dim]")
    out.print(table)


def _layers(given: dict[str, Any]) -> list[dict[str, Any]]:
    """Settings from the command line, weakest first: the YAML file, then options, then --set."""
    from lowland.core.errors import ConfigError
    from lowland.core.settings import assignment, count, nested, read

    keys = {
        "data": "data.name",
        "space": "space",
        "measure": "measure.name",
        "strategy": "search.strategy",
        "preset": "preset",
        "recipe": "retrain.recipe",
        "optimizer": "retrain.optimizer",
        "top": "retrain.top",
        "epochs": "supernet.epochs",
        "retrain_epochs": "retrain.epochs",
        "seed": "seed",
        "image_size": "data.image_size",
        "data_root": "data.root",
        "corrupted": "evaluate.options.corruptions.folder",
        "device": "compute.device",
    }
    layers = [read(given["config"])] if given.get("config") else []
    layers += [nested(key, _plain(given[name])) for name, key in keys.items() if given.get(name) is not None]
    if given.get("objective"):
        if given.get("strategy") not in (None, "pareto"):
            raise ConfigError(
                f"--objective belongs to --strategy pareto, not {given['strategy']}; leave one of the two out"
            )
        layers += [nested("search.strategy", "pareto"), nested("search.objectives", given["objective"])]
    if given.get("suite"):
        names = [name.strip() for text in given["suite"] for name in text.split(",")]
        layers.append(nested("evaluate.suites", names))
    if given.get("download"):
        layers.append(nested("data.download", True))
    for name in ("max_params", "max_macs"):
        if given.get(name) is not None:
            layers.append(nested(f"search.{name}", count(f"--{name.replace('_', '-')}", given[name])))
    return layers + [assignment(text) for text in given.get("settings") or []]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _assemble(layers: list[dict[str, Any]]) -> Any:
    from lowland.workflow.presets import assemble

    return assemble(*layers)


def _names(text: str) -> tuple[str, ...]:
    from lowland.measures.expression import split

    return tuple(name for name in split(text, ",") if name)


def _numbers(option: str, text: str) -> tuple[float, ...]:
    from lowland.core.errors import ConfigError

    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise ConfigError(f"{option} {text!r} must be numbers separated by commas, such as 2e-3,1e-2") from error


def _new(given: dict[str, Any], last: str) -> None:
    config = _assemble(_layers(given))
    from lowland.app.display import Display, stoppable
    from lowland.workflow import pipeline

    display = Display(out)
    with stoppable(display):
        _show(pipeline.run(config, given["out_path"], monitor=display, last=last))


def _continue(path: Path, last: str, changes: list[dict[str, Any]] | None = None, restart: str | None = None) -> None:
    from lowland.app.display import Display, stoppable
    from lowland.workflow import pipeline

    display = Display(out)
    with stoppable(display):
        _show(pipeline.resume(path, monitor=display, last=last, changes=changes or (), restart=restart))


def _show(result: Any) -> None:
    from lowland.app.display import result_lines

    for line in result_lines(result):
        out.print(line, highlight=False, soft_wrap=isinstance(line, str))


def main() -> None:
    """Entry point: errors a person can act on become one sentence and exit code 2."""
    warnings.showwarning = _warn
    try:
        sys.exit(app(standalone_mode=False))
    except InterruptedRun as stop:
        err.print(str(stop), highlight=False, markup=False, soft_wrap=True)
        sys.exit(130)
    except typer.Abort:  # Ctrl-C where nothing is kept
        sys.exit(130)
    except LowlandError as error:
        _refuse(str(error))
    except TyperException as error:  # such as an option that does not exist
        # Called without a verb, the program has shown its help already.
        if len(sys.argv) > 1:
            message = error.format_message().strip().rstrip(".").replace("\n", " ")
            between = " " if message.endswith("?") else "; "
            _refuse(f"{message[:1].lower()}{message[1:]}{between}`{_called()} -h` shows what there is")
        sys.exit(2)


def _refuse(sentence: str) -> NoReturn:
    err.print(f"error: {sentence}", highlight=False, markup=False, soft_wrap=True)
    sys.exit(2)


def _called() -> str:
    """The program and its verb, as far as there is such a verb."""
    verbs = {command.name or getattr(command.callback, "__name__", "") for command in app.registered_commands}
    return " ".join(["lowland", *[verb for verb in sys.argv[1:2] if verb in verbs]])


def _warn(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
    if issubclass(category, LowlandWarning):
        err.print(f"warning: {message}", style="yellow", highlight=False, markup=False, soft_wrap=True)
