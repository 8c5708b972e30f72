"""Settings of a run: one YAML file, every key checked, unknown keys refused with a suggestion."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lowland.core.settings import Fraction, NonNegative, Options, Positive, Probability, Rate, Section, section


class DataConfig(Section):
    """What the networks learn from."""

    name: str = Field("fashion-mnist-6k", description="data set name, image folder or .npz file")
    root: Path | None = Field(None, description="folder of torchvision data sets")
    download: bool = Field(False, description="let torchvision download a missing data set into root")
    image_size: Annotated[int, Field(ge=4)] | None = Field(
        None,
        description="resize to this square; default: the images' own size (folders: their median side, at most 224)",
    )
    search_fraction: Fraction = Field(0.2, description="share of the training images held out to score candidates")
    test_fraction: Fraction = Field(0.2, description="share held out for the test where a folder has no test/ or val/")
    limit: Annotated[int, Field(ge=2)] | None = Field(
        None, description="use at most this many training images (class-balanced)"
    )
    memory_gb: Rate = Field(4.0, description="larger sets are streamed from disk instead of held in memory")
    flip: bool | None = Field(
        None, description="mirror training images left-right; default: where it makes sense (not for digits)"
    )
    crop_padding: Annotated[int, Field(ge=0)] | None = Field(
        None, description="random crop after padding by this many pixels; default: image_size / 8"
    )


class OptimizationConfig(Section):
    """How weights are learned; shared by the supernet and by retraining."""

    epochs: Positive = 30
    batch_size: Annotated[int, Field(ge=2)] = 64
    optimizer: Literal["sgd", "adamw", "sgd+sam", "adamw+sam", "sgd+asam", "adamw+asam"] = Field(
        "sgd", description="the optimiser; +sam, +asam: sharpness-aware steps, plain or adaptive element-wise"
    )
    sam_rho: Rate | None = Field(None, description="radius of sharpness-aware steps; default: 0.05 sam, 2.0 asam")
    learning_rate: Rate = 0.025
    final_learning_rate: NonNegative = 1e-3
    schedule: Literal["cosine", "linear", "constant", "wsd"] = Field(
        "cosine", description="of the learning rate after warm-up; wsd: constant, then linear over the last decay_share"
    )
    decay_share: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        0.2, description="schedule=wsd: share of all steps, at the end, in which the learning rate falls"
    )
    warmup_epochs: NonNegative = 0.0
    momentum: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.9
    nesterov: bool = False
    weight_decay: NonNegative = 3e-4
    clip: NonNegative = Field(5.0, description="largest gradient norm; 0: no clipping")
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.0
    cutout: Annotated[int, Field(ge=0)] = Field(0, description="side of the erased square, pixels; 0: none")
    augment: Literal["none", "trivial", "rand", "augmix"] = Field(
        "none",
        description="operations on training images after flip and crop: TrivialAugment, RandAugment or AugMix",
    )
    augment_operations: Literal["disjoint", "all"] = Field(
        "disjoint",
        description="what augment draws from: all operations, or without brightness, contrast, colour and sharpness, "
        "which corruptions of test images also change",
    )
    augment_strength: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="share of the published range of levels that augment uses"
    )
    resized_crop: Annotated[float, Field(gt=0.0, le=1.0)] = Field(
        1.0, description="least share of an image's area that is cropped and resized, in place of padded crops; 1: off"
    )
    erasing: Probability = Field(0.0, description="probability of erasing a random rectangle of an image")
    mixup: NonNegative = Field(0.0, description="α of mixup; with cutmix too, each batch takes one of them; 0: none")
    cutmix: NonNegative = Field(0.0, description="α of CutMix; 0: none")
    class_balance: Literal["none", "loss", "sampling"] = Field(
        "none",
        description="unequal classes count alike: by weights in the loss, or by how often their images are drawn",
    )
    zero_grad: Literal["none", "zeros"] = Field(
        "none", description="operations not sampled in a step: untouched, or decayed and moved as in torch < 2"
    )

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.sam_rho is not None and "+" not in self.optimizer:
            raise ValueError(f"sam_rho needs a sharpness-aware optimizer such as {self.optimizer}+sam")
        if self.nesterov and self.momentum == 0.0:
            raise ValueError("nesterov needs momentum above 0")
        if self.warmup_epochs >= self.epochs > 0:
            raise ValueError(f"warmup_epochs ({self.warmup_epochs:g}) must be below epochs ({self.epochs})")
        return self

    def identity(self, exclude: Collection[str] = ()) -> dict[str, Any]:
        """What tells two recipes apart, as JSON: all settings, but of those below only the ones that are not off.

        What was scored or trained before these settings existed keeps its identity.
        """
        fields, values = type(self).model_fields, self.model_dump(mode="json", exclude=set(exclude))
        return {key: value for key, value in values.items() if key not in _LATER or value != fields[key].default}


_LATER = frozenset(
    {
        "decay_share",
        "augment",
        "augment_operations",
        "augment_strength",
        "resized_crop",
        "erasing",
        "mixup",
        "cutmix",
        "class_balance",
        "consistency",
        "patience",
    }
)
"""Settings that format 1 did not have; their defaults are what it did."""


class SupernetConfig(OptimizationConfig):
    """The weight-sharing network and how it is trained (SPOS; recipes of GeNAS)."""

    channels: Positive = 16
    cells: Positive = Field(1, description="NAS-Bench-201: cells per stage; DARTS: cells in all; mobilenetv3: 1")
    stem: Literal["auto", "cifar", "imagenet"] = "auto"
    path: Literal["shared", "per-cell", "fair", "sandwich"] = Field(
        "shared",
        description="one sampled genotype for all cells, or one each; fair: in every step each operation once on every "
        "edge; sandwich: in every step the largest, the smallest and random ones (elastic spaces)",
    )
    paths_per_step: Positive | None = Field(
        None,
        description="sampled paths per step, their gradients averaged, default 1; sandwich: the random ones, default 2",
    )
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="decay of averaged weights; 0: none")
    distillation: Probability = Field(
        1.0,
        description="sandwich: weight λ of the largest network's soft labels in the others' loss, and 1 − λ of the "
        "true labels",
    )
    shrinking: tuple[Literal["kernel", "depth", "expansion"], ...] = Field(
        (), description="progressive shrinking: what becomes elastic, in this order, in equal parts of the training"
    )
    pretrained: Path | None = Field(
        None, description="mobilenetv3: local Once-for-All weights to begin with, instead of random ones"
    )
    random_labels: bool = Field(False, description="train on fixed random labels (RLNAS)")

    @model_validator(mode="after")
    def _paths(self) -> Self:
        if self.path == "fair" and self.paths_per_step is not None:
            raise ValueError("path=fair runs as many paths per step as there are operations; leave paths_per_step out")
        if self.shrinking and sorted(self.shrinking) != ["depth", "expansion", "kernel"]:
            raise ValueError(f"shrinking must name kernel, depth and expansion once each, got {list(self.shrinking)}")
        return self


class MeasureConfig(Section):
    """How a candidate is judged."""

    options: Options = Field(
        default_factory=dict, description="settings of single measures by name; `lowland measures` lists them"
    )
    name: str = Field("angle+flatness", description="a measure, or a sum such as accuracy+flatness")
    combine: Literal["sum", "rank", "log-rank"] = Field(
        "sum",
        description="a sum's parts weighted and added up, or their ranks (logarithms of ranks) among all candidates",
    )
    sigmas: tuple[Rate, ...] = Field((2e-3, 1e-2, 2e-2), description="noise levels σ₁ < σ₂ < …")
    alpha: NonNegative = Field(1.0, description="weight of the depth term in flatness (Eq. 4); 0 gives Eq. 3")
    gamma: NonNegative = Field(16.0, description="weight of flatness in a sum (Eq. 5)")
    beta: Rate | None = Field(None, description="scale of flatness in a sum; default 1/σ₁")
    draws: Positive = Field(1, description="independent noise draws per σ")
    noise: Literal["shared", "independent"] = Field(
        "shared", description="the same noise for every candidate, or a draw of its own for each"
    )
    levels: Literal["absolute", "incremental"] = Field(
        "absolute", description="noise of std σᵢ each time, or increments σᵢ − σᵢ₋₁ added up as in the public code"
    )
    antithetic: bool = Field(False, description="also evaluate −ε for every draw ε, cancelling the first-order term")
    position: Literal["all", "cells"] = Field("all", description="perturb all weights or searched operations only")
    calibration: Literal["cumulative", "batch", "ema-14"] = Field(
        "cumulative", description="batch-norm statistics: mean over batches, one large batch, or 14 averages at 0.1"
    )
    calibration_images: Positive = 512
    images: Positive | None = Field(None, description="score on this many search-split images; default: all")
    noise_images: Positive | None = Field(
        None,
        description="flatness, perturbed_accuracy: noise on this many of the scored images; default: all of them",
    )
    batch_size: Positive = Field(125, description="images per forward pass; on CPUs larger ones outgrow the cache")
    angle: Literal["cells+fixed", "cells"] = Field(
        "cells+fixed", description="architecture vector with or without stem, reductions and classifier"
    )
    angle_bn_scale: Literal["once", "twice"] = Field(
        "once", description="count dilated convolutions' batch-norm scale once, or twice as the public code does"
    )
    untrained_channels: Positive | None = Field(
        None, description="initial width of the network behind untrained measures; default: the supernet's"
    )
    untrained_cells: Positive | None = Field(
        None, description="depth of the network behind untrained measures; default: the supernet's"
    )
    untrained_batch: Positive = Field(
        64, description="training images (of calibration_images) that an untrained measure looks at; zico: twice that"
    )

    direction: Literal["random", "hessian"] = Field(
        "random", description="flatness along Gaussian noise, or along the Hessian's top eigenvectors (GeNAS Table 7)"
    )
    hessian_vectors: Positive = Field(1, description="how many top eigenvectors the direction hessian follows")
    hessian_images: Positive = Field(128, description="search-split images behind eigenvectors and the Hessian trace")
    robustness_sigma: Rate = Field(0.05, description="relative noise of robustness, R(x, σ) of FlatNAS")
    robustness_draws: Positive = Field(20, description="noise draws M of robustness")
    flatnas_alpha: Probability = Field(0.5, description="weight of the error in flatnas, F_α = α·err + k·(1−α)·R")
    flatnas_k: Rate | None = Field(
        None, description="scale k of R in flatnas; default: mean(err)/mean(R) of 16 random genotypes"
    )
    perturbed_loss_sigma: Rate = Field(4e-2, description="noise level of perturbed_loss")
    perturbed_accuracy_sigma: Rate = Field(0.4, description="relative noise of perturbed_accuracy")
    filter_noise_sigma: Rate = Field(0.1, description="noise of filter_noise in units of each filter's norm")
    adaptive_sharpness_sigma: Rate = Field(0.1, description="relative noise of adaptive_sharpness")
    hessian_trace_draws: Positive = Field(8, description="random vectors of Hutchinson's trace estimate")
    training_speed_steps: Positive = Field(50, description="steps of training behind training_speed")
    training_speed_batch: Annotated[int, Field(ge=2)] = 64
    training_speed_learning_rate: Rate = Field(0.1, description="constant; high, so that sharp minima are left")

    @model_validator(mode="after")
    def _increasing(self) -> MeasureConfig:
        if len(self.sigmas) < 2 or any(b <= a for a, b in zip(self.sigmas, self.sigmas[1:], strict=False)):
            raise ValueError(f"sigmas must be at least two increasing values, got {list(self.sigmas)}")
        return self


class SearchConfig(Section):
    """How candidates are chosen."""

    options: Options = Field(
        default_factory=dict, description="settings of single strategies by name; `lowland strategies` lists them"
    )
    strategy: Literal["evolution", "random", "exhaustive", "pareto"] = "evolution"
    population: Annotated[int, Field(ge=2)] = 20
    generations: Positive = 5
    parents: Positive = 5
    mutations: Annotated[int, Field(ge=0)] = 10
    crossovers: Annotated[int, Field(ge=0)] = 5
    mutation_probability: Probability = 0.1
    mutated_genes: Literal["all", "first-half"] = Field(
        "all", description="first-half: only the normal cell of DARTS, the public code's fault"
    )
    candidates: Positive = Field(1000, description="number of genotypes scored by the random strategy")
    objectives: tuple[str, ...] = Field(
        ("flatnas(alpha=0.5)", "params"), description="what the pareto strategy trades off; measures, params, macs, …"
    )
    initial: Annotated[int, Field(ge=2)] = Field(20, description="pareto: random genotypes scored first")
    iterations: Annotated[int, Field(ge=0)] = Field(5, description="pareto: rounds of surrogate search")
    proposals: Positive = Field(4, description="pareto: genotypes scored per round")
    pick: Literal["knee", "best"] = Field(
        "knee", description="pareto: the network of the front to deliver, its knee or the best by the first objective"
    )
    surrogate: Literal["adaptive", "rbf", "cart", "mlp", "gp"] = Field(
        "adaptive", description="pareto: model of each objective; adaptive: the best by cross-validated τ, every round"
    )
    inner_population: Annotated[int, Field(ge=4)] = Field(40, description="pareto: NSGA-II population on the surrogate")
    inner_generations: Positive = Field(20, description="pareto: NSGA-II generations on the surrogate")
    racing: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        None,
        description="evolution: share of the scored images (at least 30) that a candidate is looked at first; if it is "
        "significantly worse than the parents on them, it is not scored on all; default: no racing",
    )
    shortlist: Annotated[int, Field(ge=0)] = Field(
        0,
        description="how many of the best to order anew by shortlist_measure, before any finalists; 0: none",
    )
    shortlist_measure: str = Field(
        "perturbed_accuracy(draws=16)", description="a measure or a sum, as measure.name; settings in parentheses"
    )
    finalists: Annotated[int, Field(ge=0)] = Field(
        0,
        description="how many of the best to train from scratch for finalist_epochs, as retraining would, and to order "
        "by their accuracy on the search split; 0: none",
    )
    finalist_epochs: Positive = 5
    workers: Positive | None = Field(
        None, description="processes that score on a CPU; default: one per core, 1: in the calling process"
    )
    max_params: Positive | None = Field(None, description="largest number of parameters of the delivered network")
    max_macs: Positive | None = Field(None, description="most multiply-accumulates of the delivered network")

    @model_validator(mode="after")
    def _fits(self) -> SearchConfig:
        if self.parents > self.population:
            raise ValueError(f"parents ({self.parents}) must not exceed population ({self.population})")
        if self.mutations + self.crossovers > self.population:
            raise ValueError(
                f"mutations + crossovers ({self.mutations + self.crossovers}) must not exceed population "
                f"({self.population})"
            )
        for name, count, by in (
            ("finalists", self.finalists, "accuracy"),
            ("shortlist", self.shortlist, "shortlist_measure"),
        ):
            if count == 1:
                raise ValueError(f"{name}=1 compares one candidate with nobody; set {name} to 2 or more, or to 0")
            if count and self.strategy == "pareto":
                raise ValueError(
                    f"{name} orders the best by {by} alone, which would undo a trade-off; leave {name} out or choose "
                    "another strategy than pareto"
                )
        if self.racing is not None and self.strategy != "evolution":
            raise ValueError(f"racing needs strategy=evolution, got strategy={self.strategy}; leave racing out")
        return self


class FineTuneConfig(OptimizationConfig):
    """How each candidate is trained on from inherited weights before it is judged (FlatNAS §2)."""

    epochs: Annotated[int, Field(ge=0)] = Field(0, description="0: candidates are judged with inherited weights")
    batch_size: Annotated[int, Field(ge=2)] = 128
    learning_rate: Rate = 0.1
    final_learning_rate: NonNegative = 0.0
    weight_decay: NonNegative = 5e-4
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1


class NetworkConfig(Section):
    """The delivered network's size."""

    channels: Positive | Literal["fit"] = Field(16, description="initial width, or `fit`: the widest within the limits")
    cells: Positive = Field(1, description="NAS-Bench-201: cells per stage; DARTS: cells in all; mobilenetv3: 1")
    stem: Literal["auto", "cifar", "imagenet"] = "auto"


class RetrainConfig(OptimizationConfig):
    """How the winner is trained from scratch."""

    recipe: str = Field("quick", description="named defaults for this section: quick, cifar, imagenet, nasbench201")
    top: Positive = Field(1, description="how many of the best genotypes to retrain")
    epochs: Positive = 20
    learning_rate: Rate = 0.1
    final_learning_rate: NonNegative = 0.0
    warmup_epochs: NonNegative = 0.5
    nesterov: bool = True
    weight_decay: NonNegative = 5e-4
    label_smoothing: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.1
    drop_path: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="final rate, reached linearly")
    auxiliary_weight: NonNegative = Field(0.0, description="weight of the auxiliary head's loss (DARTS); 0: no head")
    ema: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(0.0, description="decay of averaged weights; 0: none")
    inherit: bool = Field(False, description="start from the supernet's weights instead of from scratch (FlatNAS)")
    include_search_split: bool = Field(True, description="train on training and search images together")
    consistency: NonNegative = Field(
        0.0,
        description="augment=augmix: weight of the Jensen-Shannon divergence between outputs for an image and two "
        "augmented views, published 12; a step then costs three; 0: none",
    )
    patience: Annotated[int, Field(ge=0)] = Field(
        0,
        description="early stopping: epochs without a better accuracy on the search split before training ends with "
        "the best epoch's weights; 0: off",
    )

    @model_validator(mode="after")
    def _retraining(self) -> Self:
        if self.consistency and self.augment != "augmix":
            raise ValueError("consistency compares the views of AugMix; set augment to augmix or leave consistency out")
        if self.consistency and (self.mixup or self.cutmix):
            raise ValueError(
                "consistency compares views of one image, which mixup and cutmix mix; leave one of them out"
            )
        if self.patience and self.include_search_split:
            raise ValueError(
                "patience judges epochs on the search split, which must not be trained on; set "
                "include_search_split=false or leave patience out"
            )
        return self


class EvaluateConfig(Section):
    """How the trained networks are judged, on test images only."""

    options: Options = Field(
        default_factory=dict, description="settings of single suites by name; `lowland suites` lists them"
    )
    batch_size: Positive = Field(125, description="images per forward pass; on CPUs larger ones outgrow the cache")
    corruptions: tuple[str, ...] | Literal["all", "none"] = Field(
        "all", description="corruptions of test images by name; all: the fifteen standard ones"
    )
    corrupted: Path | None = Field(
        None, description="folder of corrupted test images in the official CIFAR-10-C layout, used as they are"
    )
    cache_corruptions: bool = Field(
        False,
        description="keep generated corrupted images in the user's cache folder, for runs on the same data and seed",
    )
    severities: tuple[Annotated[int, Field(ge=1, le=5)], ...] = (1, 2, 3, 4, 5)
    corruption_images: Positive | None = Field(None, description="corrupt at most this many test images; default: all")
    curve_sigmas: tuple[NonNegative, ...] = (0.0, 2e-3, 5e-3, 1e-2, 2e-2, 4e-2)
    curve_draws: Positive = 3
    curve_images: Positive = Field(500, description="search-split images behind the loss-vs-σ curves")
    random_genotypes: Annotated[int, Field(ge=0)] = Field(8, description="random genotypes in the loss-vs-σ figure")


class ComputeConfig(Section):
    """Where and how the arithmetic runs."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    channels_last: bool = True
    threads: Positive | None = Field(None, description="CPU threads; default: the machine's cores")
    checkpoint_seconds: Rate = 30.0


class Config(Section):
    """All settings of a run."""

    seed: Annotated[int, Field(ge=0)] = 0
    preset: str = "quick"
    space: str = "nasbench201"
    data: DataConfig = DataConfig()
    supernet: SupernetConfig = SupernetConfig()
    measure: MeasureConfig = MeasureConfig()
    finetune: FineTuneConfig = FineTuneConfig()
    search: SearchConfig = SearchConfig()
    network: NetworkConfig = NetworkConfig()
    retrain: RetrainConfig = RetrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    compute: ComputeConfig = ComputeConfig()
    plugins: tuple[str, ...] = Field(
        (), description="modules that brought spaces, measures, … of your own; told by --plugin, never imported unasked"
    )


def build(values: dict[str, Any]) -> Config:
    """Checked settings; the first fault becomes one sentence with the key, the value and what is allowed."""
    return section(Config, values)
