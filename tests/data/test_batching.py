import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lowland.core import seeds
from lowland.core.errors import ConfigError
from lowland.data import MemorySplit, StreamedSplit, augment, batches, order


def split(count: int = 23) -> MemorySplit:
    x = torch.arange(count, dtype=torch.uint8).view(-1, 1, 1, 1).expand(count, 1, 4, 4).contiguous()
    return MemorySplit(x, torch.arange(count))


def generator(seed: int = 0) -> torch.Generator:
    return seeds.torch_generator(seed, "test")


def noise(*shape: int) -> torch.Tensor:
    return torch.randint(1, 256, shape, generator=generator(9), dtype=torch.uint8)


def test_order_is_a_permutation_of_seed_and_keys_alone():
    a = order(50, seed=1, keys=("epoch", 3))
    assert sorted(a.tolist()) == list(range(50))
    assert torch.equal(a, order(50, seed=1, keys=("epoch", 3)))
    assert not torch.equal(a, order(50, seed=1, keys=("epoch", 4)))
    assert not torch.equal(a, order(50, seed=2, keys=("epoch", 3)))


@given(st.integers(1, 30), st.integers(1, 9), st.integers(0, 4), st.booleans(), st.integers(1, 4))
@settings(deadline=None, max_examples=60)
def test_ranks_share_out_the_global_batches(count, size, start, drop_last, world):
    sequence = order(count, seed=0, keys=())
    whole = list(batches(split(count), size, sequence, start=start, drop_last=drop_last))
    steps = count // size if drop_last else -(-count // size)
    assert len(whole) == max(0, steps - start)
    expected = sequence[start * size : steps * size].tolist()
    assert torch.cat([y for _, y in whole] or [torch.empty(0)]).tolist() == expected
    assert all((x[:, 0, 0, 0] == y).all() for x, y in whole)
    parts = [
        list(batches(split(count), size, sequence, start=start, drop_last=drop_last, rank=rank, world=world))
        for rank in range(world)
    ]
    assert {len(part) for part in parts} == {len(whole)}
    for step, (_, labels) in enumerate(whole):
        assert sorted(torch.cat([part[step][1] for part in parts]).tolist()) == sorted(labels.tolist())
        assert torch.equal(parts[0][step][1], labels[::world])


def test_streamed_batches_equal_those_in_memory_and_are_read_ahead_by_another_thread():
    held = split()
    threads: list[str] = []

    def read(indices: torch.Tensor) -> torch.Tensor:
        threads.append(threading.current_thread().name)
        return held.images(indices)

    streamed = StreamedSplit(read, held.labels_N)
    sequence = order(23, seed=0, keys=())
    found = list(batches(streamed, 5, sequence, start=1))
    assert all(name.startswith("batches") for name in threads)
    for (x, y), (held_x, held_y) in zip(found, batches(held, 5, sequence, start=1), strict=True):
        assert torch.equal(x, held_x)
        assert torch.equal(y, held_y)


def test_no_thread_outlives_an_abandoned_iteration():
    held = split()
    iterator = batches(StreamedSplit(held.images, held.labels_N), 5)
    next(iterator)
    assert any(thread.name.startswith("batches") for thread in threading.enumerate())
    iterator.close()
    assert not any(thread.name.startswith("batches") for thread in threading.enumerate())


def test_an_error_in_the_background_reaches_the_caller():
    def read(indices: torch.Tensor) -> torch.Tensor:
        raise OSError("gone")

    with pytest.raises(OSError, match="gone"):
        list(batches(StreamedSplit(read, torch.arange(9)), 2))


@pytest.mark.parametrize("bad", [{"batch_size": 0}, {"start": -1}, {"rank": 2, "world": 2}, {"rank": -1}])
def test_senseless_batches_are_refused_at_once(bad):
    with pytest.raises(ConfigError, match="make no sense"):
        batches(split(), **{"batch_size": 4, **bad})


def reference(x: torch.Tensor, flipped: bool, top: int, left: int, padding: int) -> torch.Tensor:
    """One image augmented with plain slices."""
    x = x.flip(-1) if flipped else x
    padded = torch.nn.functional.pad(x, (padding,) * 4)
    return padded[:, top : top + x.shape[1], left : left + x.shape[2]]


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("channels", "height", "width", "padding"), [(1, 8, 8, 2), (3, 6, 9, 3)])
def test_augmented_images_are_flips_and_crops_of_their_own(channels, height, width, padding, memory_format):
    x = noise(40, channels, height, width).contiguous(memory_format=memory_format)
    before = x.clone()
    found = augment(x, generator(), flip=True, padding=padding)
    assert torch.equal(x, before)
    assert found.dtype == torch.uint8
    assert found.is_contiguous(memory_format=memory_format)
    places = range(2 * padding + 1)
    seen = set()
    for source, result in zip(x, found, strict=True):
        candidates = [
            (flipped, top, left)
            for flipped in (False, True)
            for top in places
            for left in places
            if torch.equal(reference(source, flipped, top, left, padding), result)
        ]
        assert len(candidates) == 1
        seen.add(candidates[0])
    assert len(seen) > 20


def test_memory_format_does_not_change_the_numbers():
    x = noise(16, 3, 8, 8)
    options = {"flip": True, "padding": 2, "cutout": 3, "fill": (7, 8, 9)}
    expected = augment(x, generator(), **options)
    found = augment(x.contiguous(memory_format=torch.channels_last), generator(), **options)
    assert torch.equal(found, expected)
    assert not torch.equal(augment(x, generator(1), **options), expected)


def test_flips_and_crops_are_uniform():
    x = torch.zeros(8000, 1, 4, 4, dtype=torch.uint8)
    x[:, 0, 1, 1] = 1
    where = augment(x, generator(), flip=True, padding=1)[:, 0].flatten(1).double().mean(0).view(4, 4)
    # Column 1 becomes 2 by a flip; each then moves by −1, 0 or 1 with equal odds.
    rows, columns = torch.tensor([1, 1, 1, 0]) / 3, torch.tensor([1, 2, 2, 1]) / 6
    torch.testing.assert_close(where, (rows[:, None] * columns).double(), atol=0.015, rtol=0)


def test_nothing_asked_for_changes_nothing():
    x = noise(4, 3, 8, 8)
    assert torch.equal(augment(x, generator(), flip=False, padding=0), x)


@pytest.mark.parametrize("side", [3, 4])
def test_cutout_erases_one_square_around_any_pixel(side):
    x = noise(3000, 1, 9, 9)
    erased = (augment(x, generator(), flip=False, padding=0, cutout=side) != x)[:, 0]
    for mask in erased[:200]:
        rows, columns = mask.any(1).nonzero().squeeze(1), mask.any(0).nonzero().squeeze(1)
        assert torch.equal(mask, mask.any(1)[:, None] & mask.any(0))
        assert (rows.diff() == 1).all()
        assert (columns.diff() == 1).all()
        assert side - side // 2 <= len(rows) <= side
    # A middle pixel lies in the squares of side² of 9² centres.
    assert erased[:, 4, 4].double().mean().item() == pytest.approx(side**2 / 81, abs=0.03)


def test_cutout_fills_with_the_level_asked_for():
    x = torch.zeros(5, 3, 8, 8, dtype=torch.uint8)
    found = augment(x, generator(), flip=False, padding=0, cutout=16, fill=(10, 20, 30))
    assert {tuple(pixel) for pixel in found.permute(0, 2, 3, 1).reshape(-1, 3).tolist()} <= {(10, 20, 30), (0, 0, 0)}
    assert (found == 10).any()
