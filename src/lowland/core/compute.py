"""Settings of where and how the arithmetic of a run is done."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from lowland.core.settings import Positive, Rate, Section


class ComputeConfig(Section):
    """Where and how the arithmetic runs."""

    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: Literal["auto", "fp32", "bf16", "fp16"] = Field(
        "auto",
        description="of matrix products and convolutions; auto: bf16 where the hardware is quick at it, else fp32",
    )
    channels_last: bool | None = Field(
        None, description="images and convolution weights in NHWC memory order; default: except on mps"
    )
    threads: Positive | None = Field(
        None,
        description="CPU threads; default: on a CPU as many as are fastest, timed once before the run's first step and "
        "then kept here, at most the cores of the affinity and the container's quota, and OMP_NUM_THREADS",
    )
    task_threads: Positive | None = Field(
        None,
        description="CPU threads of each training that others may run beside (finalists, references); as many train at "
        "a time as cores allow, in at most search.workers processes, with the same results; default: 1 for finalists, "
        "half of compute.threads for references, of which there are few; on GPUs a worker's share of compute.threads",
    )
    gpus_per_worker: Annotated[float, Field(gt=0.0)] = Field(
        1.0,
        description="GPUs of each worker process where the device is cuda: 1, a fraction (0.5: two workers share one), "
        "or, where the executor can, a whole number",
    )
    tf32: bool = Field(False, description="let fp32 arithmetic of training round to TF32 on a GPU")
    deterministic: bool = Field(
        False,
        description="the same bits every time on a GPU too; slower, an error where torch has no way to",
    )
    checkpoint_seconds: Rate = Field(
        30.0,
        description="time between checkpoints of a training, seconds; of trainings that others run beside (finalists, "
        "references) at most 10, for a lost worker costs what came after the last one",
    )
    executor: str = Field(
        "local",
        description="what scores candidates, trains finalists and references, and judges under corruption where "
        "search.workers are several",
    )

    @model_validator(mode="after")
    def _whole_gpus(self) -> Self:
        if self.gpus_per_worker > 1 and not self.gpus_per_worker.is_integer():
            raise ValueError(
                f"gpus_per_worker={self.gpus_per_worker:g} is neither a whole number of GPUs nor a part of one; set it "
                "to 1, 2, … or to at most 1"
            )
        return self
