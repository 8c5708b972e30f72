"""Perturbation-based selection of an architecture (DARTS-PT): what the relaxed supernet loses without an operation.

The published claim is that the weights of a mixture do not say how good an operation is, and its absence does: of an
edge the operation stays without which the supernet is least accurate, and of a node the edges without which it is.
After every decision the weights of the supernet are tuned, the architecture parameters stay.

Source: Wang et al., Rethinking Architecture Selection in Differentiable NAS, ICLR 2021 (arXiv 2108.04392); its code.

Tensor names: N images, C channels, H height, W width, K kinds of cells, E edges, O operations (0 is `none`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from lowland.core.device import Compute
from lowland.core.seeds import torch_generator
from lowland.search.gradient.alternation import Setting
from lowland.search.gradient.architecture import Architecture, genes, skips, softmax
from lowland.spaces.relaxed import Mixture, Relaxation, RelaxedSupernet
from lowland.training.sam import frozen_statistics
from lowland.training.step import Stepper

Batches = Sequence[tuple[Tensor, Tensor]]


class Worth(NamedTuple):
    """What a mixture is worth on images that no weight has seen: the lower accuracy, then the higher loss, is worse."""

    accuracy: float
    loss: float

    @property
    def order(self) -> tuple[float, float]:
        """Sorts the worst first; a loss that is no number is the highest."""
        return self.accuracy, -(math.inf if math.isnan(self.loss) else self.loss)

    def json(self) -> dict[str, float | None]:
        """Both figures; None for a loss that is not finite."""
        return {"accuracy": self.accuracy, "loss": self.loss if math.isfinite(self.loss) else None}


Judge = Callable[[Mixture], Worth]


def worth(supernet: RelaxedSupernet, mixture: Mixture, batches: Batches, compute: Compute) -> Worth:
    """Accuracy in [0, 1] and mean cross-entropy in nats of a mixture.

    Batch norms take the statistics of each batch, as in the public code: running ones are of the mixture with all
    operations. They remember nothing of it.

    Args:
        supernet: In training mode.
        mixture: Its weights.
        batches: Images (N, C, H, W) on the device, and labels.
        compute: Where.

    Returns:
        Both over all images.
    """
    right, total, images = 0, 0.0, 0
    with frozen_statistics(supernet), torch.no_grad():
        for x_NCHW, labels_N in batches:
            with compute.autocast():
                logits_NK = supernet.mixed(x_NCHW, mixture)
            labels_N = labels_N.to(logits_NK.device)
            right += int((logits_NK.argmax(dim=1) == labels_N).sum())
            total += float(functional.cross_entropy(logits_NK.float(), labels_N, reduction="sum"))
            images += len(labels_N)
    return Worth(right / images, total / images)


class Decisions:
    """A mixture that becomes discrete, round by round.

    In each of the first E rounds an edge of every kind of cell is decided, in a random order of its own; then, where a
    genotype keeps fewer edges than enter a node, in each round the edges of one such node.

    Args:
        relaxation: The cells.
        weights_KEO: Weights of all operations, which those of undecided edges keep.
        live_KEO: Which operations there are.
        seed: Of the orders.

    Attributes:
        made: Every decision, as JSON: kind of cell, edge and the operation it keeps, or node and the edges it keeps;
            and `without`, what the supernet was worth without each.
    """

    def __init__(self, relaxation: Relaxation, weights_KEO: Tensor, live_KEO: Tensor, seed: int) -> None:
        self.relaxation, self.weights_KEO, self.live_KEO = relaxation, weights_KEO.detach().clone(), live_KEO.cpu()
        self.made: list[dict[str, Any]] = []
        kinds, edges, _ = relaxation.size
        nodes = wide_nodes(relaxation)
        self._edges = [_order(edges, seed, "edges", kind) for kind in range(kinds)]
        self._nodes = [[nodes[place] for place in _order(len(nodes), seed, "nodes", kind)] for kind in range(kinds)]

    @property
    def rounds(self) -> int:
        """In how many all is decided."""
        return rounds(self.relaxation)

    @property
    def done(self) -> int:
        """Rounds that are over."""
        return len(self.made) // len(self.relaxation.kinds)

    def mixture(self) -> Mixture:
        """The supernet of the moment: of a decided edge the weight of its operation is 1, of an edge given up all 0."""
        weights_KEO = self.weights_KEO.clone()
        chosen_KEO = self._chosen().to(weights_KEO.device)
        decided_KE = (chosen_KEO != 1).any(-1)
        weights_KEO[decided_KE] = chosen_KEO[decided_KE]
        return Mixture(weights_KEO)

    def genes(self) -> tuple[int, ...]:
        """The genotype of the moment: what is not decided is read from the weights, as DARTS does."""
        return genes(self.relaxation, self.weights_KEO * self._chosen().to(self.weights_KEO.device))

    def decide(self, judge: Judge) -> None:
        """One more round: in each kind of cell an edge, or the edges of a node."""
        place = self.done
        for kind in range(len(self.relaxation.kinds)):
            if place < self.relaxation.edges:
                self.made.append(self._operation(kind, self._edges[kind][place], judge))
            else:
                self.made.append(self._topology(kind, self._nodes[kind][place - self.relaxation.edges], judge))

    def _operation(self, kind: int, edge: int, judge: Judge) -> dict[str, Any]:
        names = self.relaxation.operations
        found = {
            place: judge(self._without(kind, edge, place))
            for place in candidates(self.relaxation)
            if self.live_KEO[kind, edge, place]
        }
        kept = min(found, key=lambda place: found[place].order)
        return {
            "kind": self.relaxation.kinds[kind],
            "edge": edge,
            "kept": names[kept],
            "without": {names[place]: each.json() for place, each in found.items()},
        }

    def _topology(self, kind: int, node: int, judge: Judge) -> dict[str, Any]:
        found = {edge: judge(self._without(kind, edge)) for edge in self.relaxation.nodes[node]}
        kept = sorted(found, key=lambda edge: found[edge].order)[: self.relaxation.kept]
        return {
            "kind": self.relaxation.kinds[kind],
            "node": node,
            "kept": sorted(kept),
            "without": {str(edge): each.json() for edge, each in found.items()},
        }

    def _without(self, kind: int, edge: int, operation: int | slice = slice(None)) -> Mixture:
        """The mixture of the moment without an operation, or a whole edge; the other weights are as they are."""
        weights_KEO = self.mixture().operations_KEO
        weights_KEO[kind, edge, operation] = 0.0
        return Mixture(weights_KEO)

    def _chosen(self) -> Tensor:
        """1 for what is left (K, E, O): all of an undecided edge, one operation of a decided one, nothing of others."""
        chosen_KEO = torch.ones(self.relaxation.size)
        for each in self.made:
            kind = self.relaxation.kinds.index(each["kind"])
            if "edge" in each:
                chosen_KEO[kind, each["edge"]] = 0.0
                chosen_KEO[kind, each["edge"], self.relaxation.operations.index(each["kept"])] = 1.0
            else:
                for edge in self.relaxation.nodes[each["node"]]:
                    if edge not in each["kept"]:
                        chosen_KEO[kind, edge] = 0.0
        return chosen_KEO


class Selection:
    """Decides round by round while the weights are tuned (`training.loop.Companion`), a round every so many epochs.

    The first round comes before the training (`decide`), each further one behind so many epochs, the last one behind
    the last. The supernet is in training mode.

    Args:
        architecture: α, which is as it was learnt from now on.
        setting: What the tuning runs on.
        batches: Images that judge.
        interval: Epochs from one round to the next.

    Attributes:
        weights: The mixture with which the step of the weights is made.
        decisions: What was decided.
        epochs: What is known of each epoch, as JSON: its genes, skips by kind of cell, rounds that were over.
        batches: Images that judge.
    """

    def __init__(self, architecture: Architecture, setting: Setting, batches: Batches, interval: int) -> None:
        self.setting, self.interval = setting, interval
        weights_KEO = softmax(architecture)
        self.decisions = Decisions(architecture.relaxation, weights_KEO, architecture.live_KEO, setting.seed)
        self.epochs: list[dict[str, Any]] = []
        self.weights = self.decisions.mixture()
        self.batches = batches

    def before(self, step: int, x_NCHW: Tensor, labels: Tensor, stepper: Stepper, learning_rate: float) -> None:
        """Nothing: what is decided is decided between steps."""

    def after(self, step: int) -> bool:
        """Decide where it is time to, and note what an epoch ends with.

        Returns:
            False: all epochs are trained.
        """
        done, rest = divmod(step + 1, self.setting.steps_per_epoch)
        if rest:
            return False
        if done % self.interval == 0:
            self.decide()
        found, relaxation = self.decisions.genes(), self.decisions.relaxation
        row = {"epoch": done - 1, "genes": list(found), "skips": skips(relaxation, found)}
        self.epochs.append({**row, "validation_loss": None, "rounds": self.decisions.done})
        return False

    def decide(self) -> None:
        """One more round."""
        setting = self.setting
        self.decisions.decide(lambda mixture: worth(setting.supernet, mixture, self.batches, setting.compute))
        self.weights = self.decisions.mixture()

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """What was decided and noted."""
        return {}, {"made": self.decisions.made, "epochs": self.epochs}

    def restore(self, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
        """Go on from what `state` gave."""
        del tensors
        self.decisions.made, self.epochs = list(state["made"]), list(state["epochs"])
        self.weights = self.decisions.mixture()


def candidates(relaxation: Relaxation) -> range:
    """Operations that an edge can keep: `none` only where a genotype has no choice of edges besides."""
    return range(0 if relaxation.kept is None else 1, len(relaxation.operations))


def wide_nodes(relaxation: Relaxation) -> list[int]:
    """Nodes that more edges enter than a genotype keeps."""
    if relaxation.kept is None:
        return []
    return [node for node, edges in enumerate(relaxation.nodes) if len(edges) > relaxation.kept]


def rounds(relaxation: Relaxation) -> int:
    """In how many rounds all is decided: edges, then nodes, each in all kinds of cells at once."""
    return relaxation.edges + len(wide_nodes(relaxation))


def _order(count: int, seed: int, what: str, kind: int) -> list[int]:
    found: list[int] = torch.randperm(count, generator=torch_generator(seed, "selection", what, kind)).tolist()
    return found
