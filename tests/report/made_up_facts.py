"""Made-up facts of a whole run."""

from __future__ import annotations

import numpy as np

from lowland.report import (
    Asked,
    Candidate,
    Classification,
    Commands,
    Curve,
    Data,
    Epoch,
    Estimate,
    Network,
    ReportFacts,
    Search,
    Shift,
    Stage,
    Training,
)
from lowland.spaces.space import CellGraph

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
        Candidate(
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


def make_facts() -> ReportFacts:
    """Facts of a run whose every stage is done."""
    names = ("gaussian_noise", "fog")
    shift = Shift(
        mean=70.25,
        by={name: {1: 80.5, 3: 60.0} for name in names},
        n=400,
        severities=(1, 3),
        standard_error=0.91,
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
        training=Training(
            label="Rank 1",
            epochs=tuple(Epoch(epoch=epoch, loss=1 / epoch, accuracy=100 - 40 / epoch) for epoch in range(1, 6)),
        ),
        loading='network = load("X")\n',
    )
