"""Batches: in which order images are visited, handed over a batch at a time, and augmented on the device.

Tensor names: N images of a batch, C channels, H height, W width.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor
from torch.nn import functional as F

from lowland.core import seeds
from lowland.core.errors import ConfigError
from lowland.data.splits import Split

AHEAD = 2
"""Batches of a streamed split decoded ahead of the caller."""

Batch = tuple[Tensor, Tensor]


def order(length: int, *, seed: int, keys: tuple[object, ...]) -> Tensor:
    """A random permutation of 0 … length − 1, int64 on the CPU: a function of seed and keys alone."""
    return torch.randperm(length, generator=seeds.torch_generator(seed, *keys))


def balanced_order(labels_N: Tensor, *, seed: int, keys: tuple[object, ...]) -> Tensor:
    """As many places as there are labels, shared out evenly among the classes: a function of labels, seed and keys.

    A class fills its places with all its images in random order, again and again; places differ by at most one
    between classes that have images, drawn at random which get more.

    Args:
        labels_N: Class of each image, int64 on the CPU.
        seed: Run seed.
        keys: What the order is for.

    Returns:
        Indices (N,), int64 on the CPU, in random order.
    """
    generator = seeds.torch_generator(seed, *keys)
    present = torch.bincount(labels_N).nonzero().squeeze(1)
    present = present[torch.randperm(len(present), generator=generator)]
    chosen = []
    for place, label in enumerate(present.tolist()):
        members = (labels_N == label).nonzero().squeeze(1)
        wanted = len(labels_N) // len(present) + (place < len(labels_N) % len(present))
        rounds = [torch.randperm(len(members), generator=generator) for _ in range(-(-wanted // len(members)))]
        chosen.append(members[torch.cat(rounds)[:wanted]] if wanted else members[:0])
    return torch.cat(chosen)[torch.randperm(len(labels_N), generator=generator)]


def batches(
    split: Split,
    batch_size: int,
    order: Tensor | None = None,
    *,
    start: int = 0,
    drop_last: bool = False,
    rank: int = 0,
    world: int = 1,
) -> Iterator[Batch]:
    """Go once through `split`, batch by batch.

    Streamed splits are decoded two batches ahead, in the background; splits in memory are read when asked.

    Args:
        split: The images.
        batch_size: Images of a global batch, over all processes.
        order: Indices in the order of the visit, int64 on the CPU; default 0 … len(split) − 1.
        start: The batch to begin with, for continuing within an epoch.
        drop_last: Leave out a last batch of fewer than `batch_size` images.
        rank: This process, 0 … world − 1; it gets images rank, rank + world, … of each global batch.
        world: Number of processes. All get equally many batches; parts differ by at most one image, and may be empty
            in a last batch of fewer than `world` images.

    Returns:
        uint8 images (B, C, H, W) and labels (B,) of each batch.

    Raises:
        ConfigError: If a number is out of range.
    """
    if batch_size < 1 or start < 0 or not 0 <= rank < world:
        raise ConfigError(
            f"batches of {batch_size} images from batch {start}, process {rank} of {world}, make no sense; expected "
            f"batch_size ≥ 1, start ≥ 0 and 0 ≤ rank < world"
        )
    indices = torch.arange(len(split)) if order is None else order
    if not split.streamed:
        indices = indices.to(split.device)  # once, since each copy to a GPU is waited for
    end = len(indices) - len(indices) % batch_size if drop_last else len(indices)
    parts = (indices[at : min(at + batch_size, end)][rank::world] for at in range(start * batch_size, end, batch_size))
    return in_parts(split, parts)


def in_parts(split: Split, parts: Iterable[Tensor]) -> Iterator[Batch]:
    """The batches of these indices, in order; those of a streamed split are decoded two ahead, in the background.

    Args:
        split: The images.
        parts: Indices of each batch, int64 (B,).

    Returns:
        uint8 images (B, C, H, W) and labels (B,) of each batch.
    """
    return _ahead(split, parts) if split.streamed else (_fetch(split, part) for part in parts)


def _fetch(split: Split, indices: Tensor) -> Batch:
    return split.images(indices), split.labels_N.index_select(0, indices.to(split.device))


def _ahead(split: Split, parts: Iterable[Tensor]) -> Iterator[Batch]:
    """The batches in order, read by background threads that end when the caller stops iterating."""
    reader = ThreadPoolExecutor(max_workers=split.readers, thread_name_prefix="batches")
    try:
        coming: deque[Future[Batch]] = deque()
        for part in parts:
            coming.append(reader.submit(_fetch, split, part))
            if len(coming) > max(AHEAD, split.readers):
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        reader.shutdown(wait=True, cancel_futures=True)


def augment(
    x_NCHW: Tensor,
    generator: torch.Generator,
    *,
    flip: bool,
    padding: int,
    cutout: int = 0,
    fill: tuple[int, ...] | None = None,
) -> Tensor:
    """Random augmentation, drawn anew for each image: left-right flip, crop after padding, cutout.

    - Flip with probability 1/2.
    - Pad by `padding` zeros on each side and crop at one of the (2·padding + 1)² places.
    - Erase the square of side `cutout` around a pixel drawn uniformly; parts outside the image are lost
      (DeVries and Taylor 2017, arXiv:1708.04552, Section 3.2).

    The numbers are drawn on the CPU and then moved, so they are the same on every device.

    Args:
        x_NCHW: uint8 (N, C, H, W), contiguous or channels-last; never changed.
        generator: CPU generator.
        flip: Whether to flip.
        padding: Pixels of padding; 0: no crop.
        cutout: Side of the erased square, pixels; 0: none.
        fill: Level of the erased square for each channel, default 0. DARTS erases after normalising, which is the
            same as erasing with the channel means.

    Returns:
        uint8 (N, C, H, W) in the memory format of `x_NCHW`.
    """
    channels_last = not x_NCHW.is_contiguous() and x_NCHW.is_contiguous(memory_format=torch.channels_last)
    # Work on the axes as they lie in memory, so that crops copy whole runs of bytes.
    x = x_NCHW.permute(0, 2, 3, 1) if channels_last else x_NCHW
    rows, columns = (1, 2) if channels_last else (2, 3)
    count, height, width = x.shape[0], x.shape[rows], x.shape[columns]

    def pick(high: int, number: int) -> Tensor:
        return torch.randint(high, (number, count), generator=generator)

    draws = [pick(2, 1)] * flip + [pick(2 * padding + 1, 2)] * bool(padding)
    if cutout:
        draws += [pick(height, 1), pick(width, 1)]
    if not draws:
        return x_NCHW
    numbers = iter(torch.cat(draws).to(x.device, non_blocking=True))
    per_image = (-1, 1, 1, 1)
    if flip:
        # Products with 0 and 1 instead of torch.where, which is ten times slower on bytes.
        turned = next(numbers).to(torch.uint8).view(per_image)
        x = x * (1 - turned) + x.flip(columns) * turned
    if padding:
        sides = (0, 0) * channels_last + (padding,) * 4
        windows = F.pad(x, sides).unfold(rows, height, 1).unfold(columns, width, 1)
        # windows: (N, C, places, places, H, W), or (N, places, places, C, H, W) for channels last
        top, left, each = next(numbers), next(numbers), torch.arange(count, device=x.device)
        x = windows[each, top, left].permute(0, 2, 3, 1) if channels_last else windows[each, :, top, left]
    if cutout:
        row, column = next(numbers), next(numbers)
        inside = _within(row, cutout, height).view((-1, height, 1, 1) if channels_last else (-1, 1, height, 1))
        inside = inside * _within(column, cutout, width).view((-1, 1, width, 1) if channels_last else (-1, 1, 1, width))
        x = x * (1 - inside)
        if fill:
            level = torch.tensor(fill, dtype=torch.uint8, device=x.device)
            x += inside * (level if channels_last else level.view(-1, 1, 1))
    return x.permute(0, 3, 1, 2) if channels_last else x


def _within(centre_N: Tensor, side: int, length: int) -> Tensor:
    """1 for each of `length` pixels that lies in the `side` pixels around a centre, else 0; uint8 (N, length)."""
    offset = torch.arange(length, device=centre_N.device) - centre_N[:, None] + side // 2
    return ((offset >= 0) & (offset < side)).to(torch.uint8)
