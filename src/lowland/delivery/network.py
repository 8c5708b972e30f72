"""The found network as a folder that anyone can load, with its preprocessing.

A network folder holds `network.safetensors` (weights) and `network.json` (genotype, shape, classes, preprocessing);
`config.json` says the same to timm, and nothing here reads it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

import torch
from safetensors import SafetensorError
from safetensors.torch import load as deserialised
from safetensors.torch import save as serialised
from torch import Tensor, nn

from lowland.core.errors import ConfigError, RunError
from lowland.core.files import json_text
from lowland.core.genotype import Genotype
from lowland.data import DataSet, Fit, normalise
from lowland.delivery import timm_config
from lowland.delivery.description import FILE, FORMAT, WEIGHTS, Description, digest
from lowland.delivery.inputs import Pictures, Preparation
from lowland.spaces import FeatureInfo, FeatureNetwork, NetworkOptions, Shape, get
from lowland.spaces.output_stride import honoured
from lowland.store import inside
from lowland.store.manifest import INCOMING, NETWORK
from lowland.store.manifest_check import parsed

FILES = (WEIGHTS, timm_config.FILE, FILE)
"""What `save` writes, the description last."""

BATCH = 125
"""Images that `predict` reads and classifies at a time; on CPUs larger batches outgrow the cache."""


class Network(nn.Module):
    """A delivered network with its preprocessing, in eval mode.

    Attributes:
        body: The bare network: normalised float images (N, C, H, W) → logits (N, K).
        classes: Class names, in logit order.
        genotype: What it is.
        shape: How large it is.
        facts: `rank` in the search's order, `score` by its measure, `parameters`, `macs`, `loss` of every epoch,
            `task` (digest of what decided the weights). Once the run is evaluated also `results`: what its suites found
            on test images, by the figure's name, such as `facts["results"]["test top-1"]`, a mapping with `value`,
            `unit`, `standard_error` in that unit and `n` images. A copy made before has no `results`.
        fit: How `preprocess` makes oblong images square: as the training images were.
    """

    def __init__(
        self,
        body: FeatureNetwork,
        *,
        genotype: Genotype,
        shape: Shape,
        classes: Sequence[str],
        mean: Sequence[float],
        std: Sequence[float],
        facts: Mapping[str, Any],
        fit: Fit = "crop",
    ) -> None:
        super().__init__()
        self.body = body
        self.genotype, self.shape, self.classes = genotype, shape, tuple(classes)
        self.facts = dict(facts)
        self.fit = fit
        self.mean, self.std = tuple(mean), tuple(std)

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """Classify images.

        Args:
            x_NCHW: Images of the network's size, either uint8 in 0..255, normalised here, or float from `preprocess`.

        Returns:
            Logits (N, K).
        """
        logits_NK: Tensor = self.body(self._normalised(x_NCHW))
        return logits_NK

    @property
    def feature_info(self) -> tuple[FeatureInfo, ...]:
        """Channels, stride and submodule of `body` of each feature map, finest first; see `FeatureNetwork`."""
        return self.body.feature_info

    def features(self, x_NCHW: Tensor) -> list[Tensor]:
        """Compute feature maps; `body.head` turns the last into logits.

        Args:
            x_NCHW: Images as `forward` takes them; of any size where `body.resolution` is None, and otherwise resized
                to it.

        Returns:
            Feature maps (N, C, H, W), one for each of `feature_info`.
        """
        return self.body.features(self._normalised(x_NCHW))

    def _normalised(self, x_NCHW: Tensor) -> Tensor:
        return self.normalise(x_NCHW) if x_NCHW.dtype == torch.uint8 else x_NCHW

    def normalise(self, x_NCHW: Tensor) -> Tensor:
        """uint8 images → (x / 255 − mean) / std, float32."""
        return normalise(x_NCHW, self.mean, self.std)

    def preprocess(self, images: Pictures) -> Tensor:
        """Prepare one or many images of any size and mode for the network.

        Made square and resized, with antialiasing, exactly as the training images were (`data.fit`).

        Args:
            images: As `predict` takes them.

        Returns:
            Normalised images (N, C, H, W), float32.

        Raises:
            DataError: an image cannot be read, holds levels of unknown range, such as floating-point ones, or has
                another shape.
        """
        found = list(self._batches(images))
        size = self.shape.image_size
        return torch.cat(found) if found else self.example.new_empty(0, self.shape.in_channels, size, size)

    def _batches(self, images: Pictures) -> Iterator[Tensor]:
        """Normalised images (B, C, H, W), a batch at a time."""
        device = next(self.parameters()).device
        preparation = Preparation(self.shape.in_channels, self.shape.image_size, self.fit)
        return (self.normalise(x_NCHW.to(device)) for x_NCHW in preparation.batches(images, BATCH))

    @property
    def example(self) -> Tensor:
        """Two black images as `body` takes them, from which exporters trace it."""
        size = self.shape.image_size
        return torch.zeros(2, self.shape.in_channels, size, size, device=next(self.parameters()).device)

    @overload
    def predict(self, images: Pictures) -> list[tuple[str, float]]: ...

    @overload
    def predict(self, images: Pictures, *, top: int) -> list[list[tuple[str, float]]]: ...

    @torch.inference_mode()
    def predict(
        self, images: Pictures, *, top: int | None = None
    ) -> list[tuple[str, float]] | list[list[tuple[str, float]]]:
        """The likeliest class of each image and its softmax probability.

        Images are read batch by batch, so that any number of them fits into memory.

        Args:
            images: One or many: PIL images, uint8 arrays H×W or H×W×C, uint8 tensors C×H×W, paths of image files; an
                array N×H×W, N×H×W×C or N×C×H×W, or a tensor N×C×H×W. An array of three axes whose last is at most 4
                long is one picture.
            top: Give this many of the likeliest classes of each image, at most all, the likeliest first.

        Returns:
            (class, probability) of each image, also where there is one alone; with `top` a list of such pairs of each.

        Raises:
            DataError: an image cannot be read; the sentence says which one, and what is expected.
            ConfigError: `top` is less than 1.
        """
        if top is not None and top < 1:
            raise ConfigError(f"top={top} must be at least 1; leave it out for the likeliest class alone")
        found: list[list[tuple[str, float]]] = []
        for x_NCHW in self._batches(images):
            ordered = self(x_NCHW).softmax(dim=1).sort(dim=1, descending=True, stable=True)
            places_NK, values_NK = ordered.indices[:, : top or 1].tolist(), ordered.values[:, : top or 1].tolist()
            for places, values in zip(places_NK, values_NK, strict=True):
                found.append([(self.classes[place], value) for place, value in zip(places, values, strict=True)])
        return found if top is not None else [pairs[0] for pairs in found]


def save(
    folder: Path, body: nn.Module, genotype: Genotype, shape: Shape, data: DataSet, facts: Mapping[str, Any]
) -> None:
    """Write a network folder, atomically per file.

    `body` may be a training network with an auxiliary head; only what inference needs is kept.
    """
    wanted = get(genotype.space).network(genotype, shape).state_dict().keys()
    state = body.state_dict()
    inside.make_root(folder)
    content = serialised({name: state[name].detach().cpu().contiguous() for name in wanted})
    inside.write_bytes(folder, WEIGHTS, content)
    told = timm_config.config(genotype, shape, classes=data.classes, mean=data.mean, std=data.std, fit=data.fit)
    inside.write_text(folder, timm_config.FILE, json_text(told))
    values = {
        "format": FORMAT,
        "space": genotype.space,
        "genes": list(genotype.genes),
        "genotype": get(genotype.space).format(genotype),
        "shape": shape.described(),
        "classes": list(data.classes),
        "mean": list(data.mean),
        "std": list(data.std),
        "fit": data.fit,
        "sha256": hashlib.sha256(content).hexdigest(),
        "facts": dict(facts),
    }
    inside.write_text(folder, FILE, json_text(values | {"digest": digest(values)}))


def with_facts(folder: Path, more: Mapping[str, Any]) -> str:
    """The description of a delivered network with more facts, as it is to be written.

    Args:
        folder: Network folder.
        more: Facts to add, or to put in the place of earlier ones.

    Returns:
        The new content of network.json, with its digest.

    Raises:
        RunError: the description is missing or damaged.
    """
    try:
        Description.read(folder, FILE, _remedy(folder))  # refuses a damaged one
        values = dict(parsed(inside.read(folder, FILE)))
    except OSError as error:
        raise RunError(f"{folder / FILE} is missing or cannot be read; {_remedy(folder)}") from error
    values.pop("digest", None)
    values["facts"] = {**values["facts"], **more}
    return json_text(values | {"digest": digest(values)})


def files(folder: Path) -> list[str]:
    """Names of the files of a delivered network; a folder of an earlier version has none for timm."""
    return [file for file in FILES if file != timm_config.FILE or (folder / file).is_file()]


def load(path: str | Path, device: str | torch.device = "cpu", *, output_stride: int | None = None) -> Network:
    """Load a delivered network with its preprocessing.

    Nothing is built before the description is known to be what was written, and to fit the weights.

    Args:
        path: A network folder, or a run directory that holds one.
        device: Where to put it.
        output_stride: Stride of its last feature map, 8, 16 or 32, for dense prediction; the weights are the same, the
            last halvings are left out in favour of dilation. None: as it was trained.

    Returns:
        The network in evaluation mode, on `device`.

    Raises:
        RunError: nothing is there, it is damaged, or another version wrote it.
        ConfigError: its search space is not known here, or it cannot have the output stride.
        GenotypeError: its genotype is none of its space.
    """
    root, within = Path(path), ""
    if not (root / FILE).exists():
        # The second for the instant, or after a stop, between two moves (`store.earlier`).
        folders = (f"{NETWORK}/", f"{INCOMING}/{NETWORK}/")
        within = next((each for each in folders if (root / each / FILE).exists()), "")
        within = within or (f"{NETWORK}/" if (root / NETWORK).is_dir() else "")
    folder = root / within
    again = _remedy(folder)
    try:
        known = Description.read(root, within + FILE, again)
    except (FileNotFoundError, NotADirectoryError) as error:
        if (folder / WEIGHTS).exists():
            raise RunError(f"{folder / FILE} is missing; {again}") from error
        raise RunError(
            f"no delivered network at {path}: expected network.json there or in its network/ folder; finish the run "
            "with `lowland resume` first"
        ) from error
    except OSError as error:
        raise RunError(f"{folder / FILE} cannot be read ({error.strerror}); change its permissions") from error
    space = get(known.genotype.space)
    space.validate(known.genotype)
    state = _weights(root, within, known, again)
    scalars = sum(tensor.numel() for tensor in state.values())
    if scalars < space.cost(known.genotype, known.shape).parameters:
        raise RunError(f"{folder / FILE} is damaged: it describes a larger network than {WEIGHTS} holds; {again}")
    options = NetworkOptions(output_stride=output_stride)
    body = honoured(space.network(known.genotype, known.shape, options), output_stride, space.name)
    try:
        body.load_state_dict(state)
    except RuntimeError as error:
        raise RunError(f"{folder / FILE} is damaged: it describes another network than {WEIGHTS}; {again}") from error
    network = Network(
        body,
        genotype=known.genotype,
        shape=known.shape,
        classes=known.classes,
        mean=known.mean,
        std=known.std,
        facts=known.facts,
        fit=known.fit,
    )
    return network.to(device).eval()


def _weights(root: Path, within: str, known: Description, again: str) -> dict[str, Tensor]:
    where = root / within / WEIGHTS
    try:
        content = inside.read(root, within + WEIGHTS)
        if hashlib.sha256(content).hexdigest() != known.sha256:
            raise RunError(f"{where} is damaged: its checksum differs from network.json; {again}")
        state: dict[str, Tensor] = deserialised(content)
    except (OSError, SafetensorError) as error:
        raise RunError(f"{where} is missing or damaged; {again}") from error
    return state


def _remedy(folder: Path) -> str:
    """What to do about a damaged network folder: train it again where its run is at hand."""
    runs = [parent for parent in folder.parents[:2] if (parent / "manifest.json").is_file()]
    return f"run `lowland resume {runs[0]} --restart train` to train it again" if runs else "copy it again"
