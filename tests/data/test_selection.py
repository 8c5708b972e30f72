import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from lowland.data.selection import groups, held_out, interleaved, limited

counts = st.lists(st.integers(2, 40), min_size=2, max_size=8)


def by_class(sizes: list[int], seed: int = 0) -> list[np.ndarray]:
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return groups(labels, len(sizes), np.random.default_rng(seed))


@given(counts, st.integers(0, 5))
def test_groups_hold_each_class_once(sizes, seed):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))
    found = groups(labels, len(sizes), np.random.default_rng(seed))
    for label, group in enumerate(found):
        assert sorted(group) == np.flatnonzero(labels == label).tolist()


@given(counts, st.floats(0.01, 0.99))
def test_held_out_is_a_stratified_partition(sizes, fraction):
    whole = by_class(sizes)
    kept, held = held_out(whole, fraction)
    for group, left, right, size in zip(whole, kept, held, sizes, strict=True):
        assert sorted([*left, *right]) == sorted(group)
        assert len(left) >= 1
        assert len(right) >= 1
        assert abs(len(right) - size * fraction) < 1 or len(right) in (1, size - 1)


def test_held_out_has_exactly_the_fraction_where_classes_allow_it():
    _, held = held_out(by_class([13] * 7), 0.2)
    assert sum(map(len, held)) == round(0.2 * 91)


@given(counts, st.integers(2, 400))
def test_limited_is_as_balanced_as_the_classes_allow(sizes, total):
    found = [len(group) for group in limited(by_class(sizes), total)]
    assert sum(found) == min(total, sum(sizes))
    level = max(found)
    assert all(have == size or have >= level - 1 for have, size in zip(found, sizes, strict=True))


@given(counts, st.integers(2, 100))
def test_a_larger_limit_keeps_what_a_smaller_one_keeps(sizes, total):
    small, large = limited(by_class(sizes), total), limited(by_class(sizes), total + len(sizes))
    assert all(set(a) <= set(b) for a, b in zip(small, large, strict=True))


@given(counts, st.integers(1, 100))
def test_every_beginning_of_an_interleaved_split_is_stratified(sizes, length):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    sequence = interleaved(by_class(sizes))
    assert sorted(sequence) == list(range(len(labels)))
    length = min(length, len(labels))
    seen = np.bincount(labels[sequence[:length]], minlength=len(sizes))
    share = np.array(sizes) * length / len(labels)
    assert (abs(seen - share) <= 1 + len(sizes) / 2 * np.array(sizes) / len(labels)).all()
