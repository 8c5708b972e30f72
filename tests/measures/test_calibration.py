"""Batch-norm calibration against closed forms, and putting everything back."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from lowland.core.errors import DataError
from lowland.core.inference import evaluating
from lowland.measures.calibration import calibrate, calibrated, path_batch_norms, preserved
from lowland.testing.tiny import CPU, Case, case

X = [
    torch.randn(n, 3, 4, 4, generator=torch.Generator().manual_seed(n), dtype=torch.float64) * 2 + 1 for n in (8, 6, 2)
]


def statistics(batches: list[torch.Tensor]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return [(x.mean((0, 2, 3)), x.transpose(0, 1).flatten(1).var(1)) for x in batches]


def fresh() -> nn.BatchNorm2d:
    bn = nn.BatchNorm2d(3, momentum=0.3).double().eval()
    bn.running_mean.fill_(5.0)  # what was there before must not matter
    return bn


def test_cumulative_weights_batches_by_their_images():
    bn = fresh()
    calibrate(bn, [bn], X, "cumulative", CPU)
    means, variances = zip(*statistics(X), strict=True)
    torch.testing.assert_close(bn.running_mean, (8 * means[0] + 6 * means[1] + 2 * means[2]) / 16)
    torch.testing.assert_close(bn.running_var, (8 * variances[0] + 6 * variances[1] + 2 * variances[2]) / 16)


def test_cumulative_equals_momentum_none_for_equal_batches():
    equal = [x[:2] for x in X]
    bn, reference = fresh(), nn.BatchNorm2d(3, momentum=None).double()
    calibrate(bn, [bn], equal, "cumulative", CPU)
    for x in equal:
        reference(x)
    torch.testing.assert_close(bn.running_mean, reference.running_mean)
    torch.testing.assert_close(bn.running_var, reference.running_var)


def test_batch_is_exact_for_the_concatenation():
    bn = fresh()
    calibrate(bn, [bn], X, "batch", CPU)
    mean, variance = statistics([torch.cat(X)])[0]
    torch.testing.assert_close(bn.running_mean, mean)
    torch.testing.assert_close(bn.running_var, variance)


def test_ema_keeps_22_9_percent_of_the_start():
    bn = fresh()
    calibrate(bn, [bn], X[:1], "ema-14", CPU)
    mean, variance = statistics(X)[0]
    torch.testing.assert_close(bn.running_mean, (1 - 0.9**14) * mean)
    torch.testing.assert_close(bn.running_var, 0.9**14 + (1 - 0.9**14) * variance)
    assert pytest.approx(0.229, abs=5e-4) == 0.9**14


def test_ema_cycles_over_few_batches_and_ignores_what_exceeds_14():
    cycled, many = fresh(), fresh()
    calibrate(cycled, [cycled], X, "ema-14", CPU)
    calibrate(many, [many], X * 9, "ema-14", CPU)
    torch.testing.assert_close(cycled.running_mean, many.running_mean)
    mean = torch.zeros(3, dtype=torch.float64)
    for step in range(14):
        mean = 0.9 * mean + 0.1 * statistics(X)[step % 3][0]
    torch.testing.assert_close(cycled.running_mean, mean)


@pytest.mark.parametrize("training", [False, True])
def test_calibrate_puts_momentum_and_flags_back(training: bool):
    bn = fresh().train(training)
    calibrate(bn, [bn], X, "cumulative", CPU)
    assert (bn.momentum, bn.training) == (0.3, training)

    def fail(x: torch.Tensor) -> None:
        bn(x)
        raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        calibrate(fail, [bn], X, "cumulative", CPU)
    assert (bn.momentum, bn.training) == (0.3, training)


def test_no_images_is_a_data_error():
    bn = fresh()
    with pytest.raises(DataError, match="no training images"):
        calibrate(bn, [bn], [], "batch", CPU)


def test_batch_norm_without_running_statistics_is_left_alone():
    bn = nn.BatchNorm2d(3, track_running_stats=False).double().eval()
    with preserved([bn]):
        calibrate(bn, [bn], X, "cumulative", CPU)
    assert bn.running_mean is None
    assert not bn.training


@pytest.fixture
def trained() -> Case:
    return case()


def test_only_batch_norms_on_the_path_are_calibrated(trained: Case):
    supernet, genotype = trained.supernet, trained.genotypes[0]
    on_path = path_batch_norms(supernet, genotype)
    assert len(on_path) == 1 + 2 * 2
    before = {name: value.clone() for name, value in supernet.state_dict().items()}
    with calibrated(supernet, genotype, [x for x, _ in trained.context.calibration], "cumulative", CPU):
        changed = {name for name, value in supernet.state_dict().items() if not torch.equal(value, before[name])}
    names = {id(module): name for name, module in supernet.named_modules()}
    wanted = {f"{names[id(bn)]}.{key}" for bn in on_path for key in ("running_mean", "running_var")}
    assert {name for name in changed if "num_batches" not in name} == wanted


def test_calibrated_supernet_equals_a_calibrated_copy(trained: Case):
    supernet, genotype = trained.supernet, trained.genotypes[0]
    images = [x for x, _ in trained.context.calibration]
    reference = copy.deepcopy(supernet).eval()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.train()
            module.momentum = None
    for x in images:
        reference(x, genotype)
    reference.eval()
    x = trained.context.scored[0][0]
    with calibrated(supernet, genotype, images, "cumulative", CPU):
        assert not any(module.training for module in supernet.modules())
        torch.testing.assert_close(supernet(x, genotype), reference(x, genotype))


def test_calibrated_restores_the_very_tensors(trained: Case):
    supernet, genotype = trained.supernet, trained.genotypes[0]
    supernet.cells[0].eval()  # mixed flags must survive
    flags = [module.training for module in supernet.modules()]
    state = {name: (value.data_ptr(), value.clone()) for name, value in supernet.state_dict().items()}

    def use() -> None:
        with calibrated(supernet, genotype, [x for x, _ in trained.context.calibration], "ema-14", CPU):
            raise KeyError("inside")

    with pytest.raises(KeyError):
        use()
    assert [module.training for module in supernet.modules()] == flags
    for name, value in supernet.state_dict().items():
        assert value.data_ptr() == state[name][0]
        assert torch.equal(value, state[name][1])


def test_evaluating_restores_mixed_flags():
    module = nn.Sequential(nn.Dropout(), nn.Sequential(nn.Dropout()).eval())
    flags = [child.training for child in module.modules()]
    with evaluating(module):
        assert not any(child.training for child in module.modules())
    assert [child.training for child in module.modules()] == flags
