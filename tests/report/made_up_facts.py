"""Made-up facts of a whole run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lowland.evaluation.details import Details, Mistake
from lowland.evaluation.reliability import Reliability
from lowland.report import (
    Asked,
    Classification,
    Commands,
    Curve,
    Data,
    Epoch,
    Estimate,
    Fit,
    Iteration,
    Network,
    Objective,
    Pareto,
    Point,
    ReportFacts,
    ScoredCandidate,
    Search,
    Shift,
    ShiftGroup,
    Stage,
    Training,
)
from lowland.spaces.values import CellGraph

INNER = ("0", "1", "2", "3")
INPUTS = ("c_{k-2}", "c_{k-1}")
OPERATIONS = ("sep_conv_3x3", "dil_conv_5x5", "max_pool_3x3", "skip_connect")


def darts_cell(*, full: bool) -> CellGraph:
    """A DARTS cell: two edges into each node, or all fourteen."""
    nodes = (*INPUTS, *INNER)
    edges = [
        (nodes[source], nodes[target], OPERATIONS[(source + target) % 4])
        for target in range(2, 6)
        for source in range(target)
        if full or source < 2
    ]
    return CellGraph("normal cell", (*nodes, "c_{k}"), (*edges, *((node, "c_{k}", "") for node in INNER)))


def nasbench_cell(operations: str) -> CellGraph:
    """A NAS-Bench-201 cell; a dot stands for `none`, which is left out."""
    nodes = ("in", "1", "2", "out")
    pairs = [(0, 1), (0, 2), (1, 2), (0, 3), (1, 3), (2, 3)]
    names = {"c": "nor_conv_3x3", "s": "skip_connect", "p": "avg_pool_3x3"}
    edges = [(nodes[i], nodes[j], names[op]) for (i, j), op in zip(pairs, operations, strict=True) if op != "."]
    return CellGraph("cell", nodes, tuple(edges))


def make_search(count: int) -> Search:
    rng = np.random.default_rng(0)
    candidates = tuple(
        ScoredCandidate(
            index=index,
            generation=index // 50,
            origin=("random", "mutation", "crossover")[index % 3],
            parameters=int(rng.integers(100_000, 900_000)),
            macs=int(rng.integers(10_000_000, 90_000_000)),
            score=float(rng.normal(10, 1)),
        )
        for index in range(count)
    )
    best = max(candidates, key=lambda candidate: candidate.score).index
    return Search(candidates=candidates, winner=best, failed=2, images=960)


def make_curve(label: str, kind: str, steep: float) -> Curve:
    sigmas = (0.0, 0.01, 0.02)
    return Curve(
        label=label,
        kind=kind,  # type: ignore[arg-type]
        sigmas=sigmas,
        loss=tuple(0.5 + steep * sigma for sigma in sigmas),
        errors=(0.0, 0.02, 0.03),
        draws=3,
        images=500,
    )


def make_details(classes: int, n: int) -> Details:
    """Every class is right nine times out of ten, and else the next one; one grey pixel stands for every picture."""
    wrong = n // 10
    mistakes = tuple(
        Mistake(
            image=place,
            label=place,
            named=(place + 1) % classes,
            probability=0.9,
            label_probability=0.01,
            picture=PIXEL,
        )
        for place in range(min(3, classes))
    )
    return Details(
        n=(n,) * classes,
        right=(n - wrong,) * classes,
        confused=tuple((label, (label + 1) % classes, wrong) for label in range(classes)),
        reliability=Reliability(confidence=(60.0, 95.0), accuracy=(50.0, 95.0), n=(n, n * (classes - 1))),
        worst=mistakes,
        surest=mistakes,
    )


PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCB1FZPZQAAAABJRU5ErkJggg=="
)


def make_facts() -> ReportFacts:
    """Facts of a run whose every stage is done."""
    names = ("gaussian_noise", "fog")
    shift = Shift(
        mean=70.25,
        by={name: {1: 80.5, 3: 60.0} for name in names},
        n=400,
        severities=(1, 3),
        standard_error=0.91,
        errors={name: Estimate(value=29.75, standard_error=1.1, n=400) for name in names},
        groups=tuple(
            ShiftGroup(name=group, corruptions=(name,), error=Estimate(value=29.75, standard_error=1.1, n=400))
            for group, name in zip(("noise", "weather"), names, strict=True)
        ),
    )
    test = Classification(
        top1=90.4, nll=0.31, ece=2.1, n=1200, top1_standard_error=0.85, top5=99.5, top5_standard_error=0.2
    )
    networks = tuple(
        Network(
            rank=rank,
            genotype="|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|none~2|",
            parameters=316_234,
            macs=47_200_000,
            score=Estimate(value=12.5 - rank, standard_error=0.03, n=960),
            test=test if rank == 1 else None,
            shift=shift if rank == 1 else None,
        )
        for rank in (1, 2, 3)
    )
    return ReportFacts(
        run="run-1",
        created="1 May 2026, 12:00 UTC",
        version="0.1.0",
        asked=Asked(
            data=Data(
                name="clothes",
                classes=tuple(f"class {number}" for number in range(10)),
                image_size=28,
                channels=1,
                train=3840,
                search=960,
                test=1200,
            ),
            space="nasbench201",
            space_size=15625,
            measure="angle+flatness",
            strategy="evolution",
            seed=7,
            max_params=400_000,
        ),
        commands=Commands(search="lowland resume X", retrain="lowland retrain X", evaluate="lowland evaluate X"),
        config_yaml="seed: 7\nspace: nasbench201\n",
        environment=(("torch", "2.14"), ("Threads", "2")),
        stages=(Stage(name="supernet", seconds=312.0, detail="12 epochs"), Stage(name="search", seconds=845.2)),
        search=make_search(60),
        cells=(nasbench_cell("cccspc"),),
        networks=networks,
        curves=(
            make_curve("winner", "winner", 10),
            *(make_curve(f"random {number}", "random", 40) for number in range(3)),
            make_curve("rank 1, retrained", "retrained", 5),
        ),
        details=make_details(10, 120),
        class_names=tuple(f"class {number}" for number in range(10)),
        training=Training(
            label="Rank 1",
            epochs=tuple(Epoch(epoch=epoch, loss=1 / epoch, accuracy=100 - 40 / epoch) for epoch in range(1, 6)),
        ),
        loading='network = load("X")\n',
    )


OBJECTIVES = {
    "flatnas(alpha=0.5)": Objective(label="flatnas(alpha=0.5)", kind="flatnas", unit="percentage points", alpha=0.5),
    "params": Objective(label="params", kind="params", unit="parameters", exact=True),
    "error": Objective(label="error", kind="error", unit="%"),
    "robustness": Objective(label="robustness", kind="robustness", unit="percentage points"),
    "macs": Objective(label="macs", kind="macs", unit="multiply-accumulates", exact=True),
    "latency": Objective(label="latency", kind="latency", unit="ms"),
    "accuracy+flatness": Objective(label="accuracy+flatness", kind="measure"),
}


def make_points(objectives: tuple[Objective, ...], count: int) -> tuple[Point, ...]:
    """Candidates among which larger ones err less and are less robust; the last one did not learn."""
    rng = np.random.default_rng(1)
    points = []
    for index in range(count):
        parameters = int(np.exp(rng.uniform(np.log(4e5), np.log(4e6))))
        error = 6 + 24 * (4e5 / parameters) ** 0.7 + rng.gamma(2.0, 2.0) * (1.0 if index < 40 else 0.5)
        robust = 1 + 0.4 * np.log(parameters / 4e5) + rng.gamma(2.0, 0.5)
        if index == count - 1:
            error, robust = 90.0, 0.1
        values = {
            "flatnas": 0.5 * error + 2.5 * robust,
            "error": error,
            "robustness": robust,
            "params": parameters,
            "macs": 90.0 * parameters,
            "latency": 1.0 + parameters / 1e6,
            "measure": error / 100.0,
        }
        errors = {"flatnas": 0.6, "error": 0.5, "robustness": 0.2, "latency": 0.05}
        candidate = ScoredCandidate(
            index=index,
            generation=0 if index < 40 else 1 + (index - 40) // 8,
            origin="random" if index < 40 else "surrogate",
            parameters=parameters,
            macs=90 * parameters,
            score=-error,
            genotype=f"r=32|k={index % 3 * 2 + 3}|e=4,{index},6|d=2",
            error=Estimate(value=error, standard_error=0.5),
            robustness=Estimate(value=robust, standard_error=0.2),
        )
        estimates = tuple(
            Estimate(value=float(values[each.kind]), standard_error=0.0 if each.exact else errors.get(each.kind))
            for each in objectives
        )
        points.append(Point(candidate=candidate, objectives=estimates))
    return tuple(points)


def dominated(points: tuple[Point, ...]) -> list[bool]:
    """Whether another point is nowhere worse and somewhere better."""
    values = np.array([[estimate.value for estimate in point.objectives] for point in points])
    return [bool(((values <= own).all(axis=1) & (values < own).any(axis=1)).any()) for own in values]


def make_pareto(*labels: str, count: int = 120) -> Pareto:
    """What a search of 40 random candidates and iterations of 8 found."""
    objectives = tuple(OBJECTIVES[label] for label in labels)
    points = make_points(objectives, count)
    front = [place for place, worse in enumerate(dominated(points)) if not worse]
    front.sort(key=lambda place: points[place].objectives[0].value)
    kinds = ("cart", "rbf", "gp", "mlp")
    iterations = [Iteration(iteration=0, proposed=40, scored=40, hypervolume=0.55)]
    for number in range(1, (count - 40) // 8 + 1):
        fits = tuple(
            Fit(objective=each.label, kind=kinds[number // 3 % 4], tau=0.75 - 0.5 / (number + place + 1), std=0.1)
            for place, each in enumerate(objectives)
            if not each.exact
        )
        volume = 0.55 + 0.06 * np.log(1 + number)
        iterations.append(
            Iteration(iteration=number, proposed=8, scored=40 + 8 * number, hypervolume=volume, k=3.1, fits=fits)
        )
    return Pareto(
        objectives=objectives,
        points=points,
        front=tuple(front),
        pick=front[len(front) // 2],
        iterations=tuple(iterations),
        k=3.2 if "flatnas(alpha=0.5)" in labels else None,
        hypervolume="volume dominated by the feasible candidates, in units of the random sample's box",
    )


def make_pareto_facts(*labels: str, count: int = 120) -> ReportFacts:
    """Facts of a run of the pareto strategy whose every stage is done; by default F against parameters."""
    facts = make_facts()
    pareto = make_pareto(*(labels or ("flatnas(alpha=0.5)", "params")), count=count)
    candidates = tuple(point.candidate for point in pareto.points)
    chosen = [pareto.pick, *(place for place in pareto.front if place != pareto.pick)][: len(facts.networks)]
    return replace(
        facts,
        asked=replace(
            facts.asked,
            space="mobilenetv3",
            strategy="pareto",
            measure="accuracy+robustness",
            objectives=tuple(each.label for each in pareto.objectives),
            max_params=4_000_000,
        ),
        search=Search(candidates=candidates, winner=pareto.pick, failed=1, images=960, noise=(0.1, 5)),
        pareto=pareto,
        networks=tuple(
            replace(
                network,
                genotype=pareto.points[place].candidate.genotype,
                parameters=pareto.points[place].candidate.parameters,
                macs=pareto.points[place].candidate.macs,
                objectives=pareto.points[place].objectives,
            )
            for network, place in zip(facts.networks, chosen, strict=False)
        ),
    )
