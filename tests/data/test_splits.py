import pytest
import torch

from lowland.core.errors import DataError
from lowland.data import DataSet, MemorySplit, Split, StreamedSplit, Subset, concatenate


def images(count: int, offset: int = 0) -> torch.Tensor:
    return (torch.arange(count * 3 * 4 * 4).view(count, 3, 4, 4) + offset).remainder(256).to(torch.uint8)


def memory(count: int, offset: int = 0) -> MemorySplit:
    return MemorySplit(images(count, offset), torch.arange(count) + offset)


def streamed(count: int) -> StreamedSplit:
    x = images(count)
    return StreamedSplit(lambda indices: x[indices], torch.arange(count))


def data_set(split: Split, mean: tuple[float, ...], std: tuple[float, ...]) -> DataSet:
    return DataSet(
        name="x",
        train=split,
        search=split,
        test=split,
        classes=("a", "b"),
        mean=mean,
        std=std,
        in_channels=3,
        image_size=4,
        flip=False,
        crop_padding=0,
        source="",
        fingerprint="",
    )


def test_memory_split_is_indexing():
    split = memory(5)
    indices = torch.tensor([3, 0, 3])
    assert len(split) == 5
    assert torch.equal(split.images(indices), images(5)[indices])
    assert not split.streamed


@pytest.mark.parametrize("make", [memory, streamed])
def test_subset_renumbers(make):
    subset = Subset(make(6), torch.tensor([4, 1, 5]))
    assert subset.labels_N.tolist() == [4, 1, 5]
    assert torch.equal(subset.images(torch.tensor([2, 0])), images(6)[[5, 4]])
    assert subset.streamed == (make is streamed)


def test_concatenated_splits_read_as_one_in_any_order():
    joined = concatenate(memory(4), memory(3, offset=100))
    whole = torch.cat((images(4), images(3, 100)))
    for indices in ([6, 0, 3, 4, 4, 1], [0, 1], [5, 6], []):
        at = torch.tensor(indices, dtype=torch.int64)
        assert torch.equal(joined.images(at), whole[at])
    assert joined.labels_N.tolist() == [0, 1, 2, 3, 100, 101, 102]


def test_concatenation_is_streamed_if_a_part_is():
    assert concatenate(memory(2), streamed(2)).streamed
    assert not concatenate(memory(2), memory(2)).streamed


@pytest.mark.parametrize(
    ("x", "y"),
    [
        (images(3).float(), torch.arange(3)),
        (images(3)[0], torch.arange(3)),
        (images(3), torch.arange(2)),
        (images(3), torch.arange(3, dtype=torch.int32)),
    ],
)
def test_unfit_tensors_are_refused(x, y):
    with pytest.raises(DataError):
        MemorySplit(x, y)


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_normalise_is_the_formula_and_keeps_the_memory_format(memory_format):
    split = memory(5)
    mean, std = (0.2, 0.5, 0.7), (0.1, 0.3, 0.25)
    x = images(5).contiguous(memory_format=memory_format)
    before = x.clone()
    found = data_set(split, mean, std).normalise(x)
    expected = (x.double() / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    assert found.dtype == torch.float32
    assert found.is_contiguous(memory_format=memory_format)
    assert torch.equal(x, before)
    torch.testing.assert_close(found.double(), expected, atol=2e-6, rtol=0)
