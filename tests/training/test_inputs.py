"""What steps see: a function of seed, job and step, whatever is switched on; and no more than is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from lowland.core.config import RetrainConfig
from lowland.core.errors import ConfigError
from lowland.core.recipe import OptimizationConfig
from lowland.core.seeds import torch_generator
from lowland.core.settings import section
from lowland.data import DataSet, MemorySplit, augment, balanced_order, batches, order
from lowland.training import network
from lowland.training.inputs import Inputs
from lowland.training.loop import Job, fit
from lowland.training.objective import divergence
from lowland.training.parallel import World

from .toy import CPU, GENOTYPE, STEPS_PER_EPOCH, digits, network_job, retrain_recipe

OPTIONS: dict[str, dict[str, Any]] = {
    "trivial": {"augment": "trivial"},
    "trivial, all": {"augment": "trivial", "augment_operations": "all", "augment_strength": 0.5},
    "rand": {"augment": "rand"},
    "augmix": {"augment": "augmix"},
    "consistency": {"augment": "augmix", "consistency": 12.0},
    "resized crop": {"resized_crop": 0.5},
    "erasing": {"erasing": 0.5},
    "mixup": {"mixup": 0.2},
    "cutmix": {"cutmix": 1.0},
    "sampling": {"class_balance": "sampling"},
    "everything": {"augment": "trivial", "resized_crop": 0.6, "cutout": 2, "erasing": 0.3, "mixup": 0.5, "cutmix": 1.0},
}


def inputs(data: DataSet | None = None, views: int = 1, seed: int = 5, **recipe: Any) -> Inputs:
    data = data or digits()
    return Inputs(name="job", recipe=retrain_recipe(**recipe), data=data, split=data.train, seed=seed, views=views)


def seen(found: Inputs, start: int = 0) -> list[tuple[int, Tensor, Tensor]]:
    return list(found.steps(start, World()))


def test_with_everything_off_it_is_flip_crop_and_cutout() -> None:
    """As it always was: one permutation an epoch, one generator a step."""
    data = digits()
    fill = tuple(round(255 * mean) for mean in data.mean)
    for epoch in range(2):
        indices = order(len(data.train), seed=5, keys=("job", "order", epoch))
        wanted = batches(data.train, 16, indices)
        for step, (x_NCHW, labels_N) in enumerate(wanted, start=epoch * STEPS_PER_EPOCH):
            generator = torch_generator(5, "job", "augment", step, 0)
            x_NCHW = augment(x_NCHW, generator, flip=data.flip, padding=data.crop_padding, cutout=3, fill=fill)
            found, x, y = seen(inputs(cutout=3))[step]
            assert found == step
            assert torch.equal(x, data.normalise(x_NCHW))
            assert torch.equal(y, labels_N)


@pytest.mark.parametrize("name", OPTIONS)
def test_a_step_is_a_function_of_seed_and_step(name: str) -> None:
    recipe = OPTIONS[name]
    views = 3 if "consistency" in recipe else 1
    whole = seen(inputs(views=views, **recipe))
    assert [step for step, _, _ in whole] == list(range(2 * STEPS_PER_EPOCH))
    for start in range(2 * STEPS_PER_EPOCH):
        for (a, x, y), (b, x_again, y_again) in zip(
            whole[start:], seen(inputs(views=views, **recipe), start), strict=True
        ):
            assert a == b
            assert torch.equal(x, x_again)
            assert torch.equal(y, y_again)
    other = seen(inputs(views=views, seed=6, **recipe))
    assert not torch.equal(whole[0][1], other[0][1])


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("channels", [1, 3])
def test_grey_and_colour_images_of_either_memory_format_train(name: str, channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    x_NCHW = torch.randint(256, (32, channels, 12, 12), dtype=torch.uint8, generator=generator)
    labels_N = torch.arange(32) % 3
    found = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        split = MemorySplit(x_NCHW.contiguous(memory_format=memory_format), labels_N)
        data = DataSet(
            name="noise",
            train=split,
            search=split,
            test=split,
            classes=("a", "b", "c"),
            mean=(0.5,) * channels,
            std=(0.25,) * channels,
            in_channels=channels,
            image_size=12,
            flip=True,
            crop_padding=1,
            source="",
            fingerprint="",
        )
        found.append(seen(inputs(data, **OPTIONS[name])))
    for (_, x, y), (_, x_last, y_last) in zip(*found, strict=True):
        assert torch.isfinite(x).all()
        assert torch.equal(x, x_last)
        assert torch.equal(y, y_last)


def test_views_are_the_image_and_two_others() -> None:
    plain = seen(inputs())
    for (_, x, _), (_, x_views, labels_N) in zip(plain, seen(inputs(views=3, augment="augmix")), strict=True):
        first, second, third = x_views.chunk(3)
        assert torch.equal(first, x)
        assert not torch.equal(second, first)
        assert not torch.equal(second, third)
        assert len(labels_N) == len(x)


def test_consistency_enters_the_loss_with_its_weight() -> None:
    """CE of the first view, label smoothing and all, plus λ times the divergence of the three."""
    job = network_job(retrain_recipe(augment="augmix", consistency=4.0, label_smoothing=0.1))
    assert job.views == 3
    logits_NK = torch.randn(12, 10)
    labels_N = torch.arange(4)
    found = job.loss(lambda _: logits_NK, torch.zeros(12, 1, 8, 8), labels_N, 0)  # type: ignore[arg-type]
    wanted = F.cross_entropy(logits_NK[:4], labels_N, label_smoothing=0.1) + 4.0 * divergence(*logits_NK.chunk(3))
    torch.testing.assert_close(found, wanted)


def test_mixed_labels_are_learnt_from() -> None:
    for _, x, target_NK in seen(inputs(mixup=0.5, cutmix=1.0)):
        assert target_NK.shape == (len(x), 10)
        assert target_NK.sum(1).tolist() == pytest.approx([1.0] * len(x))
    assert len(fit(network_job(retrain_recipe(mixup=0.5, cutmix=1.0, class_balance="loss"))).loss) == 2


def test_images_are_mixed_in_the_first_share_of_the_steps_only() -> None:
    whole, part, plain = (
        seen(inputs(**changes)) for changes in ({"mixup": 0.5}, {"mixup": 0.5, "mixed_share": 0.5}, {})
    )
    half = len(whole) // 2
    for (_, x, target), (_, wanted, mixture) in zip(part[:half], whole[:half], strict=True):
        assert torch.equal(x, wanted)
        assert torch.equal(target, mixture)
    for (_, x, target), (_, wanted, labels) in zip(part[half:], plain[half:], strict=True):
        assert torch.equal(x, wanted)
        assert torch.equal(target, labels)
    job = network_job(retrain_recipe(mixup=0.5, mixed_share=0.5))
    assert len(fit(job).loss) == 2


def test_sampling_shares_places_out_evenly() -> None:
    labels_N = torch.tensor([0] * 50 + [1] * 13 + [4] * 2)
    for epoch in range(20):
        places = balanced_order(labels_N, seed=1, keys=("x", epoch))
        assert len(places) == 65
        counts = torch.bincount(labels_N[places], minlength=5).tolist()
        assert sorted(counts) == [0, 0, 21, 22, 22]
        of_one = torch.bincount(places[labels_N[places] == 1] - 50, minlength=13)
        assert of_one.max() - of_one.min() <= 1  # no image a second time before all have been
        assert torch.equal(places, balanced_order(labels_N, seed=1, keys=("x", epoch)))
    assert not torch.equal(places, balanced_order(labels_N, seed=2, keys=("x", epoch)))


def test_sampling_of_equal_classes_visits_every_image() -> None:
    places = balanced_order(torch.arange(40) % 4, seed=0, keys=())
    assert sorted(places.tolist()) == list(range(40))


@pytest.mark.parametrize(
    ("recipe", "sentence"),
    [
        ({"consistency": 12.0}, "set augment to augmix"),
        ({"consistency": 12.0, "augment": "augmix", "mixup": 0.1}, "leave one of them out"),
        ({"patience": 3}, "include_search_split=false"),
        ({"augment": "autoaugment"}, "augment"),
        ({"resized_crop": 0.0}, "resized_crop"),
    ],
)
def test_what_does_not_go_together_is_one_sentence(recipe: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence):
        section(RetrainConfig, recipe)


def test_recipes_of_before_keep_their_identity() -> None:
    """What is off is no part of it; what is on is."""
    plain = OptimizationConfig().identity()
    assert "mixup" not in plain
    assert plain["label_smoothing"] == 0.0
    assert OptimizationConfig(mixup=0.2).identity() == plain | {"mixup": 0.2}
    assert RetrainConfig(label_smoothing=0.0).identity()["label_smoothing"] == 0.0


def test_a_job_with_no_new_option_has_one_view_and_no_patience() -> None:
    job: Job = network.job(GENOTYPE, network_job(retrain_recipe()).model, retrain_recipe(), digits(), CPU, 5)
    assert (job.views, job.held_out, job.patience) == (1, None, 0)
