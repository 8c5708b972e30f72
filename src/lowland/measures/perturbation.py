"""Weight noise: seeded Gaussian perturbations of parameters, and putting the weights back bit-exactly.

Every standard-normal tensor z is a function of (seed, draw, level, further keys, parameter name) alone. It is drawn on
the CPU in float32 whatever the device, precision or memory format, so results do not depend on them.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Literal

import torch
from torch import Tensor, nn

from lowland.seeds import torch_generator

Levels = Literal["absolute", "incremental"]

CACHE_BYTES = 512 * 2**20
"""Most memory that remembered noise may take; a supernet of the published sizes needs at most 30 MB per draw and σ."""


def coefficients(sigmas: Sequence[float], levels: Levels) -> list[dict[int, float]]:
    """How level i is made of independent standard-normal draws z₁ … z_t: the noise is Σ_j c_ij z_j.

    - `absolute`: σᵢ zᵢ, each level its own noise on the clean weights.
    - `incremental` (the public code of GeNAS): Σ_{j ≤ i} (σ_j − σ_{j−1}) z_j with σ₀ = 0, increments added up on one
      copy, so that the standard deviation is √Σ(Δσ)² instead of σᵢ.

    Returns:
        For each level i the non-zero c_ij by j, counted from 0.
    """
    if levels == "absolute":
        return [{level: sigma} for level, sigma in enumerate(sigmas)]
    increments = [sigma - below for sigma, below in zip(sigmas, [0.0, *sigmas], strict=False)]
    return [dict(enumerate(increments[: level + 1])) for level in range(len(sigmas))]


def effective_sigmas(sigmas: Sequence[float], levels: Levels) -> tuple[float, ...]:
    """The standard deviation of the noise that is really added at each level."""
    return tuple(math.hypot(*level.values()) for level in coefficients(sigmas, levels))


@dataclass(frozen=True, kw_only=True, slots=True)
class Noise:
    """One perturbation of a set of weights, w + Σ_j c_j z_j, or w ⊙ (1 + Σ_j c_j z_j) where `relative`.

    Attributes:
        seed: Run seed.
        draw: Which of the independent draws.
        coefficients: c_j by level j (see `coefficients`); {0: σ} is plain noise of standard deviation σ.
        keys: Further keys of the draw, such as the genotype; empty for noise shared by all candidates.
        sign: +1, or −1 for the mirrored draw (antithetic).
        relative: Scale the noise by each weight (FlatNAS).
        remember: Keep z for the next network of the same supernet.
    """

    seed: int
    draw: int
    coefficients: Mapping[int, float]
    keys: tuple[object, ...] = ()
    sign: Literal[1, -1] = 1
    relative: bool = False
    remember: bool = False

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """A perturbed copy of `weight`, in its dtype, device and memory format."""
        perturbed = weight.clone()
        for level, coefficient in self.coefficients.items():
            z = self._standard_normal(name, weight, level)
            if self.relative:
                perturbed.addcmul_(weight, z.to(weight.dtype), value=self.sign * coefficient)
            else:
                perturbed.add_(z, alpha=self.sign * coefficient)
        return perturbed

    def _standard_normal(self, name: str, weight: Tensor, level: int) -> Tensor:
        keys = (self.draw, level, *self.keys)
        if not self.remember:
            return noise(name, weight, self.seed, *keys)
        return _CACHE.get(name, weight, self.seed, *keys)


def noise(name: str, like: Tensor, seed: int, *keys: object) -> Tensor:
    """A float32 standard-normal tensor with the shape, device and memory format of `like`.

    Its values are a function of (seed, keys, name) and the shape alone.
    """
    z = torch.randn(like.shape, generator=torch_generator(seed, "noise", *keys, name))
    return torch.empty_like(like, dtype=torch.float32, requires_grad=False).copy_(z)


class _NoiseCache:
    """Noise tensors by what they are a function of; the least recently used are forgotten beyond `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._tensors: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._tensors)

    def get(self, name: str, like: Tensor, seed: int, *keys: object) -> Tensor:
        """`noise(name, like, seed, *keys)`, remembered."""
        key = (name, seed, keys, like.shape, like.stride(), like.device)
        with self._lock:
            found = self._tensors.get(key)
            if found is not None:
                self._tensors.move_to_end(key)
                return found
        z = noise(name, like, seed, *keys)
        with self._lock:
            if key not in self._tensors:
                self._tensors[key] = z
                self.bytes += z.nbytes
            while self.bytes > self.limit_bytes:
                self.bytes -= self._tensors.popitem(last=False)[1].nbytes
        return z


_CACHE = _NoiseCache(CACHE_BYTES)


@contextmanager
def perturbed(parameters: Mapping[str, nn.Parameter], noise: Noise) -> Iterator[None]:
    """Within the block `parameters` hold perturbed values; afterwards the very tensors they held before.

    The original memory is never written, so it comes back bit-exactly, also after an exception, and blocks may nest.

    Args:
        parameters: Parameters by name; the name enters the noise.
        noise: What is added.
    """
    original: list[tuple[nn.Parameter, Tensor]] = []
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                clean = parameter.data
                original.append((parameter, clean))
                parameter.data = noise.apply(name, clean)
        # An autocast block opened outside would otherwise go on with its remembered cast of the clean weights.
        torch.clear_autocast_cache()
        yield
    finally:
        for parameter, clean in original:
            parameter.data = clean
        torch.clear_autocast_cache()
