from __future__ import annotations

import hashlib
import subprocess
import sys

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from lowland.core.genotype import Genotype
from lowland.core.seeds import derive, numpy_rng, torch_generator


def test_seeds_are_half_of_a_blake2b_digest() -> None:
    digest = hashlib.blake2b(b"7\x1fsupernet\x1fpath\x1f3", digest_size=8).digest()
    assert derive(7, "supernet", "path", 3) == int.from_bytes(digest, "big") // 2


def test_seeds_are_the_same_in_every_process() -> None:
    """Python's own hash of strings is not."""
    code = "from lowland.core.seeds import derive; print(derive(1, 'noise', 0.5, 3))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=600)
    assert int(found.stdout) == derive(1, "noise", 0.5, 3)


@given(st.integers(0, 2**64), st.lists(st.one_of(st.integers(), st.text(max_size=5)), max_size=3))
def test_seeds_fit_every_generator(seed: int, keys: list[object]) -> None:
    value = derive(seed, *keys)
    assert 0 <= value < 2**63
    assert derive(seed, *keys) == value
    assert derive(seed + 1, *keys) != value
    assert derive(seed, *keys, "more") != value


def test_keys_are_told_apart() -> None:
    genotype = Genotype("nasbench201", (1, 2, 3, 4, 0, 1))
    seeds = [
        derive(0), derive(1), derive(0, "a"), derive(0, "b"), derive(0, "a", "b"), derive(0, "b", "a"), derive(0, "ab"),
        derive(0, 1, 2), derive(0, 12), derive(0, genotype), derive(0, Genotype("darts", genotype.genes)),
    ]  # fmt: skip
    assert len(set(seeds)) == len(seeds)
    assert derive(0, np.int64(12)) == derive(0, 12)


def test_generators_are_new_and_equal_each_time() -> None:
    assert numpy_rng(3, "x").integers(1 << 40) == numpy_rng(3, "x").integers(1 << 40)
    assert numpy_rng(3, "x").integers(1 << 40) != numpy_rng(3, "y").integers(1 << 40)
    first, again, other = (torch.rand(5, generator=torch_generator(3, key)) for key in ("x", "x", "y"))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch_generator(3).device == torch.device("cpu")


def test_a_genotype_is_a_value() -> None:
    genotype = Genotype("nasbench201", (1, 2, 0, 4, 3, 1))
    assert str(genotype) == "nasbench201:1,2,0,4,3,1"
    assert len({genotype, Genotype("nasbench201", (1, 2, 0, 4, 3, 1)), Genotype("darts", (1, 2, 0, 4, 3, 1))}) == 2
    assert Genotype("nasbench201", (1, 0)) < Genotype("nasbench201", (1, 2))
