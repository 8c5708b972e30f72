"""Fine-tuning a candidate: its own network, trained on from inherited weights before it is judged (FlatNAS §4)."""

from __future__ import annotations

from torch import Tensor, nn

from lowland.core.config import Config
from lowland.core.device import Compute
from lowland.core.genotype import Genotype
from lowland.data import DataSet
from lowland.spaces import Single, Supernet
from lowland.training.loop import Job, fit
from lowland.training.network import extracted
from lowland.training.objective import objective


def finetuned(supernet: Supernet, genotype: Genotype, config: Config, data: DataSet, compute: Compute) -> Supernet:
    """What measures are to judge of a candidate after `finetune.epochs` on the training split.

    The supernet is left as it was. The result is a function of its weights, the run seed and the genotype. It takes
    seconds, so nothing is kept of a stop on the way: the candidate is fine-tuned again.

    Args:
        supernet: Trained; gives the weights to begin with.
        genotype: The candidate.
        config: Its `finetune` section is the recipe, sharpness-aware or not; its seed is the run's.
        data: Only `data.train` takes part.
        compute: Where the arithmetic runs.

    Returns:
        A `Single` of the fine-tuned network in eval mode; with 0 epochs `supernet.at(genotype)`.

    Raises:
        DivergedError: the loss became NaN or infinite.
    """
    if not config.finetune.epochs:
        return supernet.at(genotype)
    network = compute.prepare(extracted(supernet, genotype))
    fit(finetuning_job(network, genotype, config, data, compute))
    return Single(network, genotype, supernet.shape).eval()


def finetuning_job(network: nn.Module, genotype: Genotype, config: Config, data: DataSet, compute: Compute) -> Job:
    """The training of a candidate's own network on the training split."""
    recipe = config.finetune
    truth = objective(recipe, data.train.labels_N, data.num_classes)

    def loss(model: nn.Module, x_NCHW: Tensor, labels_N: Tensor, step: int) -> Tensor:
        with compute.autocast():
            logits_NK: Tensor = model(x_NCHW)
        return truth(logits_NK.float(), labels_N)

    return Job(
        name="finetune-" + "-".join(map(str, genotype.genes)),
        title="fine-tune",
        model=network,
        loss=loss,
        recipe=recipe,
        data=data,
        split=data.train,
        seed=config.seed,
        compute=compute,
    )
