"""Settings of a run: one YAML file, every key checked, unknown keys refused with a suggestion."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lowland.core.compute import ComputeConfig as ComputeConfig
from lowland.core.recipe import LongConfig
from lowland.core.recipe import OptimizationConfig as OptimizationConfig
from lowland.core.settings import Fraction, NonNegative, Options, Positive, Probability, Rate, Section, section

Growth = Annotated[float, Field(ge=1.0, le=4.0)]
Resolution = Annotated[float, Field(ge=0.125, le=8.0)]


class DataConfig(Section):
    """What the networks learn from."""

    name: str = Field("fashion-mnist-6k", description="data set name, image folder or .npz file")
    root: Path | None = Field(None, description="folder of torchvision data sets")
    download: bool = Field(False, description="let torchvision download a missing data set into root")
    image_size: Annotated[int, Field(ge=4)] | None = Field(
        None,
        description="resize to this square; default: the images' own size (folders: their median side, at most 224)",
    )
    fit: Literal["auto", "crop", "squash", "pad", "opencv"] = Field(
        "auto",
        description="how oblong pictures become square: centre cut out, squashed, or padded with black; "
        "auto: crop, or squash where that would cut away most of a typical picture; opencv: centre of a picture 8/7 as "
        "large, resized as OpenCV does, as weights of the GeNAS code expect",
    )
    search_fraction: Fraction = Field(
        0.2, description="share of the training images held out to score candidates; not where val/ and test/ are given"
    )
    test_fraction: Fraction = Field(0.2, description="share held out for the test where a folder has no test/ or val/")
    limit: Annotated[int, Field(ge=2)] | None = Field(
        None, description="use at most this many training images (class-balanced)"
    )
    memory_gb: Rate = Field(4.0, description="larger sets are streamed from disk instead of held in memory")
    flip: bool | None = Field(
        None, description="mirror training images left-right; default: where it makes sense (not for digits)"
    )
    normalise: Literal["statistics", "none"] = Field(
        "statistics",
        description="by mean and deviation of the training images, or not at all: levels from 0 to 1, as weights of "
        "the GeNAS code expect",
    )
    crop_padding: Annotated[int, Field(ge=0)] | None = Field(
        None, description="random crop after padding by this many pixels; default: image_size / 8"
    )


class SupernetConfig(LongConfig):
    """The weight-sharing network and how it is trained (SPOS; recipes of GeNAS)."""

    channels: Positive = Field(16, description="initial width of the supernet")
    cells: Positive = Field(1, description="NAS-Bench-201: cells per stage; DARTS: cells in all; mobilenetv3: 1")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description="first layers: at full resolution (cifar) or downsampling (imagenet); auto: by image size"
    )
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
        None,
        description="mobilenetv3: local Once-for-All weights to begin with, instead of random ones; the delivered "
        "network then begins with the supernet's, unless retrain.inherit is set",
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
    """How a candidate is judged: what measures share. Settings of a single measure stand in `options`."""

    name: str = Field("angle+flatness", description="a measure, or a sum such as accuracy+flatness")
    combine: Literal["sum", "rank", "log-rank"] = Field(
        "sum",
        description="a sum's parts weighted and added up, or their ranks (logarithms of ranks) among all candidates",
    )
    options: Options = Field(
        default_factory=dict, description="settings of single measures by name; `lowland measures` lists them"
    )
    images: Positive | None = Field(None, description="score on this many search-split images; default: all")
    batch_size: Positive = Field(125, description="images per forward pass; on CPUs larger ones outgrow the cache")
    calibration: Literal["cumulative", "batch", "ema-14", "ema-14-augmented"] = Field(
        "cumulative",
        description="batch-norm statistics: mean over batches, one large batch, or 14 averages at 0.1; augmented: of "
        "batches of 64, flipped and cropped as in training",
    )
    calibration_images: Positive = Field(512, description="training images behind batch-norm statistics")
    draws: Positive = Field(1, description="independent noise draws per σ")
    noise: Literal["shared", "independent"] = Field(
        "shared", description="the same noise for every candidate, or a draw of its own for each"
    )
    noise_images: Positive | None = Field(
        None,
        description="flatness, perturbed_accuracy: noise on this many of the scored images; default: all of them",
    )
    antithetic: bool = Field(False, description="also evaluate −ε for every draw ε, cancelling the first-order term")
    position: Literal["all", "cells"] = Field("all", description="perturb all weights or searched operations only")
    hessian_images: Positive = Field(128, description="search-split images behind eigenvectors and the Hessian trace")
    untrained_channels: Positive | None = Field(
        None, description="initial width of the network behind untrained measures; default: the supernet's"
    )
    untrained_cells: Positive | None = Field(
        None, description="depth of the network behind untrained measures; default: the supernet's"
    )
    untrained_batch: Positive = Field(
        64, description="training images (of calibration_images) that an untrained measure looks at; zico: twice that"
    )


class SearchConfig(Section):
    """How candidates are chosen."""

    options: Options = Field(
        default_factory=dict, description="settings of single strategies by name; `lowland strategies` lists them"
    )
    searcher: str = Field(
        "one-shot", description="what finds networks; one-shot: paths of a trained supernet are scored"
    )
    sampling: Literal["networks", "genes"] = Field(
        "networks",
        description="random genotypes: uniform over all networks, or every decision uniform, as in the public code of "
        "Once-for-All; the same but in elastic spaces, where few networks have shallow stages",
    )
    strategy: str = Field("evolution", description="one-shot: what proposes candidates")
    lag: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="one-shot: no generations; each candidate is chosen by the scores of all those before it but the "
        "latest so many, so that about as many workers need not wait; it decides what is found; default: generations",
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
        description="how many designs begin their retraining, at the end of the search, and are put in order by "
        "successive halving; 0: none",
    )
    finalist_epochs: Rate | None = Field(
        None,
        description="finalists: epochs of the first rung, perhaps a fraction of one; at most half of retrain.epochs, "
        "default: a twelfth",
    )
    halving: Annotated[int, Field(ge=2)] = Field(
        3, description="finalists: at each rung one in so many goes on, to so many times the steps"
    )
    promote: str = Field(
        "accuracy",
        description="finalists: a measure, or a sum, on the search split that decides who goes on; of a sum the ranks",
    )
    depths: tuple[Positive, ...] = Field(
        (), description="finalists: depths (as network.cells) tried for each; default: network.cells alone"
    )
    growths: tuple[Growth, ...] = Field(
        (), description="finalists: growths (as network.growth) tried for each; default: network.growth alone"
    )
    norms: tuple[Literal["batch", "ibn", "ibn-quarter"], ...] = Field(
        (), description="finalists: norms (as network.norm) tried for each; default: network.norm alone"
    )
    resolutions: tuple[Resolution, ...] = Field(
        (),
        description="finalists: resolutions (network.resolution) tried for each; default: network.resolution alone",
    )
    hand_written: bool = Field(
        False, description="finalists: networks of the space written by hand are among them (at most half)"
    )
    workers: Positive | None = Field(
        None,
        description="processes that score, train finalists and references, and judge under corruption; default: one "
        "per core, or as many as the GPUs have room for (compute.gpus_per_worker); 1: in the calling process",
    )
    max_params: Positive | None = Field(None, description="largest number of parameters of the delivered network")
    max_macs: Positive | None = Field(None, description="most multiply-accumulates of the delivered network")

    @model_validator(mode="after")
    def _compares(self) -> SearchConfig:
        for name, count in (("finalists", self.finalists), ("shortlist", self.shortlist)):
            if count == 1:
                raise ValueError(f"{name}=1 compares one candidate with nobody; set {name} to 2 or more, or to 0")
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

    channels: Positive | Literal["fit"] = Field(
        16,
        description="initial width, or `fit`: the widest within the limits; without any limit, a size by the data",
    )
    fill: bool = Field(
        False,
        description="with channels=fit: later stages get what a step of the initial width leaves of the limits "
        "(NAS-Bench-201, DARTS), by a growth a little above that which is set",
    )
    cells: Positive = Field(1, description="NAS-Bench-201: cells per stage; DARTS: cells in all; mobilenetv3: 1")
    stem: Literal["auto", "cifar", "imagenet"] = Field(
        "auto", description="first layers: at full resolution (cifar) or downsampling (imagenet); auto: by image size"
    )
    growth: Growth = Field(
        2.0,
        description="channels of a stage over those of the one before (NAS-Bench-201, DARTS; published: 2); below 2 "
        "early stages are wider, so that as many parameters have more multiply-accumulates",
    )
    norm: Literal["batch", "ibn", "ibn-quarter"] = Field(
        "batch",
        description="normalisation: batch norm as published, or instance-batch norm in all but the last stage, which "
        "gains on images of other conditions: instance norm for half of the channels (IBN-Net, ECCV 2018) or a quarter",
    )
    resolution: Resolution = Field(
        1.0,
        description="side of what the network works on over that of the images, which it resizes itself "
        "(NAS-Bench-201, DARTS; in the elastic spaces genes decide it); parameters stay, multiply-accumulates go with "
        "its square",
    )


class RetrainConfig(LongConfig):
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

    def compared(self) -> dict[str, Any]:
        """What comparisons keep of a recipe: everything but what came later and is off, so that older ones go on.

        Returns:
            Settings by name, as JSON.
        """
        off = set() if self.min_steps else {"min_steps"}
        return self.model_dump(mode="json", exclude={"top", "recipe"} | off)

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
    suites: tuple[str, ...] = Field(
        ("classification", "corruptions", "landscape"), description="what is measured, in this order; `lowland suites`"
    )
    root: Path | None = Field(
        None, description="folder that holds the suites' published data sets, such as imagenet-a; default: data.root"
    )


class Config(Section):
    """All settings of a run."""

    seed: Annotated[int, Field(ge=0)] = Field(0, description="decides every random draw of the run")
    preset: str = Field("quick", description="named defaults: quick, standard, paper, flatnas; a sum adds +compat")
    budget: Annotated[float, Field(gt=0.0)] | None = Field(
        None,
        description="wall time of the whole run, seconds (--budget 20m): once, before the first step, trainings are "
        "lengthened or shortened to fill it; default: as long as their epochs take",
    )
    space: str = Field("nasbench201", description="search space; `lowland spaces` lists them")
    data: DataConfig = DataConfig()
    supernet: SupernetConfig = SupernetConfig()
    measure: MeasureConfig = MeasureConfig()
    finetune: FineTuneConfig = FineTuneConfig()
    search: SearchConfig = SearchConfig()
    network: NetworkConfig = NetworkConfig()
    retrain: RetrainConfig = RetrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
    compute: ComputeConfig = ComputeConfig()
    history: Annotated[int, Field(ge=0)] = Field(
        3, description="how many earlier delivered networks are kept when the network is trained anew; 0: none"
    )
    checkpoints_to: Path | None = Field(
        None,
        description="folder, perhaps on another disk, that takes the checkpoints; each run makes one of its own in it; "
        "default: in the run directory",
    )
    plugins: tuple[str, ...] = Field(
        (), description="modules that brought spaces, measures, … of your own; told by --plugin, never imported unasked"
    )


def build(values: dict[str, Any]) -> Config:
    """Checked settings; the first fault becomes one sentence with the key, the value and what is allowed."""
    return section(Config, values)
