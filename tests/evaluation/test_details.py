"""Details of a network's judgements: counts against sklearn's, the order of mistakes, and pictures of bounded size."""

from __future__ import annotations

import base64
import io

import numpy as np
import torch
from PIL import Image
from sklearn.metrics import confusion_matrix

from lowland.data import data_uris
from lowland.evaluation.classification import classification
from lowland.evaluation.details import MOST_PICTURES, Details


def made_up(n: int = 300, k: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(n, k, generator=generator), torch.randint(k - 1, (n,), generator=generator)


def test_counts_equal_sklearns() -> None:
    logits, labels = made_up()
    found = Details.of(logits, labels)
    theirs = confusion_matrix(labels, logits.argmax(dim=1), labels=range(7))
    ours = np.diag(found.right)
    for label, named, count in found.confused:
        ours[label, named] = count
    assert (ours == theirs).all()
    assert found.n == tuple(theirs.sum(axis=1))
    assert found.n[6] == 0
    assert [count for *_, count in found.confused] == sorted((count for *_, count in found.confused), reverse=True)
    assert 100 * sum(found.right) / sum(found.n) == classification(logits, labels)["top1"]


def test_mistakes_are_the_worst_and_the_surest() -> None:
    logits, labels = made_up()
    probability = logits.double().softmax(dim=1)
    wrong = [place for place in range(len(labels)) if int(probability[place].argmax()) != int(labels[place])]
    found = Details.of(logits, labels)
    worst = sorted(wrong, key=lambda place: float(probability[place, labels[place]]))
    surest = sorted(wrong, key=lambda place: -float(probability[place].max()))
    assert [each.image for each in found.worst] == worst[:MOST_PICTURES]
    assert [each.image for each in found.surest] == surest[:MOST_PICTURES]


def test_a_network_without_mistakes_has_none() -> None:
    found = Details.of(10 * torch.eye(3), torch.arange(3))
    assert (found.confused, found.worst, found.surest) == ((), (), ())
    assert found.pictured(lambda places: [str(place) for place in places]) == found


def test_each_mistake_gets_its_own_picture() -> None:
    logits, labels = made_up()
    found = Details.of(logits, labels).pictured(lambda places: [f"picture {place}" for place in places])
    assert all(each.picture == f"picture {each.image}" for each in (*found.worst, *found.surest))


def test_small_images_keep_every_pixel_and_large_ones_are_bounded() -> None:
    for channels, side, kind in ((1, 28, "png"), (3, 64, "png"), (3, 224, "jpeg"), (1, 80, "jpeg")):
        noise = torch.randint(256, (2, channels, side, side), dtype=torch.uint8)
        for x_CHW, uri in zip(noise, data_uris(noise), strict=True):
            assert uri.startswith(f"data:image/{kind};base64,")
            assert len(uri) < 18_000
            picture = Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
            assert max(picture.size) == min(side, 96)
            if kind == "png":
                array = torch.from_numpy(np.array(picture))
                assert torch.equal(array[None] if channels == 1 else array.movedim(-1, 0), x_CHW)
