"""Weight noise: seeded Gaussian perturbations of parameters, and putting the weights back bit-exactly.

Every standard-normal tensor z is a function of (seed, draw, level, further keys, parameter name) alone. It is drawn on
the CPU in float32 whatever the device, precision or memory format, so results do not depend on them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock
from typing import Literal, Protocol
from weakref import ref

import torch
from torch import Tensor, nn

from lowland.core.seeds import torch_generator

Levels = Literal["absolute", "incremental"]

BANK_BYTES = 512 * 2**20
"""Most memory for perturbed weights; a supernet of the published sizes needs at most 30 MB per draw and σ."""


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


class Perturbation(Protocol):
    """What `perturbed` does to a set of parameters."""

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """What the parameter `name` holds instead of `weight`: same shape, dtype, device and memory format."""


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
        remember: Keep the perturbed weights for the next candidate that has them too (`Bank`).
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
            z = noise(name, weight, self.seed, self.draw, level, *self.keys)
            if self.relative:
                perturbed.addcmul_(weight, z.to(weight.dtype), value=self.sign * coefficient)
            else:
                perturbed.add_(z, alpha=self.sign * coefficient)
        return perturbed

    @property
    def identity(self) -> Hashable:
        """Equal for perturbations that give equal tensors."""
        return type(self), self.seed, self.draw, tuple(self.coefficients.items()), self.keys, self.sign, self.relative


@dataclass(frozen=True, kw_only=True, slots=True)
class Displacement:
    """The perturbation w + scale·d along one direction d, given by parameter name."""

    direction: Mapping[str, Tensor]
    scale: float

    def apply(self, name: str, weight: Tensor) -> Tensor:
        """The displaced copy of `weight`."""
        return weight.add(self.direction[name], alpha=self.scale)


def noise(name: str, like: Tensor, seed: int, *keys: object) -> Tensor:
    """Draw standard-normal noise.

    Its values are a function of (seed, keys, name) and the shape alone.

    Returns:
        A float32 tensor with the shape, device and memory format of `like`.
    """
    z = torch.randn(like.shape, generator=torch_generator(seed, "noise", *keys, name))
    return torch.empty_like(like, dtype=torch.float32, requires_grad=False).copy_(z)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class _Remembered:
    """A perturbed tensor, and the parameter at the version and place in memory for which it holds."""

    owner: ref[nn.Parameter]
    version: tuple[object, ...]
    value: Tensor


class Bank:
    """Perturbed weights by parameter and noise: the supernet perturbed once per draw and level for all candidates.

    An entry holds for one version of the parameter (torch counts in-place writes) at one place in memory. Beyond
    `limit_bytes` entries drawn at random are forgotten; what they held is then computed again. (Candidates ask for the
    same draws in the same order. The least recently used entry is then the one needed next: with room for 95 % of them
    none would ever be found again, at random nine of ten are.)
    """

    def __init__(self, limit_bytes: int) -> None:
        self.limit_bytes = limit_bytes
        self.bytes = 0
        self._entries: dict[Hashable, _Remembered] = {}
        self._keys: list[Hashable] = []
        self._places: dict[Hashable, int] = {}
        self._draw = random.Random(0)  # decides what is kept, never what a value is
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, name: str, parameter: nn.Parameter, noise: Noise) -> Tensor:
        """`noise.apply(name, parameter)`, remembered; not to be written to."""
        weight = parameter.detach()
        # Numbers of a dead parameter may be given to another, hence the reference to the parameter itself.
        key = (name, id(parameter), noise.identity)
        version = (parameter._version, weight.data_ptr(), weight.shape, weight.stride(), weight.dtype, weight.device)
        with self._lock:
            found = self._entries.get(key)
            if found is not None and found.owner() is parameter and found.version == version:
                return found.value
        value = noise.apply(name, weight)
        with self._lock:
            self._forget(key)
            while self._keys and self.bytes + value.nbytes > self.limit_bytes:
                self._forget(self._keys[self._draw.randrange(len(self._keys))])
            if value.nbytes <= self.limit_bytes:
                self._entries[key] = _Remembered(owner=ref(parameter), version=version, value=value)
                self._places[key] = len(self._keys)
                self._keys.append(key)
                self.bytes += value.nbytes
        return value

    def _forget(self, key: Hashable) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:
            return
        self.bytes -= entry.value.nbytes
        place, last = self._places.pop(key), self._keys.pop()
        if last != key:
            self._keys[place], self._places[last] = last, place


BANK = Bank(BANK_BYTES)
"""The bank of this process, used where `Noise.remember` is set."""

_HELD: set[int] = set()
"""Numbers of parameters that hold perturbed values now, in this or another thread."""


@contextmanager
def perturbed(parameters: Mapping[str, nn.Parameter], noise: Perturbation) -> Iterator[None]:
    """Within the block `parameters` hold perturbed values; afterwards the very tensors they held before.

    The original memory is never written, so it comes back bit-exactly, also after an exception, and blocks may nest.

    Args:
        parameters: Parameters by name; the name enters the noise.
        noise: What is added.
    """
    original: list[tuple[nn.Parameter, Tensor]] = []
    # A perturbation on top of another is no function of the supernet's weights, so the bank cannot tell it.
    outermost = {id(parameter) for parameter in parameters.values()} - _HELD
    _HELD.update(outermost)
    try:
        with torch.no_grad():
            for name, parameter in parameters.items():
                clean = parameter.data
                original.append((parameter, clean))
                if isinstance(noise, Noise) and noise.remember and id(parameter) in outermost:
                    parameter.data = BANK.get(name, parameter, noise)
                else:
                    parameter.data = noise.apply(name, clean)
        # An autocast block opened outside would otherwise go on with its remembered cast of the clean weights.
        torch.clear_autocast_cache()
        yield
    finally:
        for parameter, clean in original:
            parameter.data = clean
        _HELD.difference_update(outermost)
        torch.clear_autocast_cache()
