"""Latency: how long the delivered form of a candidate takes for one image on the machine of the search."""

from __future__ import annotations

import time

import numpy as np
import torch

from lowland.core.genotype import Genotype
from lowland.core.seeds import derive, torch_generator
from lowland.measures.measure import Context, Measure, Score, register
from lowland.spaces.space import Supernet

WARM_UP = 5
"""Runs that are not counted: memory is allocated and kernels are chosen in them."""

RUNS = 30
"""Runs that are timed."""


@register
class Latency(Measure):
    """−(median over 30 runs of the time for one image), in milliseconds.

    The network is the standalone one at the supernet's size, in evaluation mode, at batch size 1, on the device and in
    the precision and memory format of the run, with its number of threads; on an accelerator every run is waited for.
    Its weights are random: they do not change the time. The median leaves out short interruptions, but not the machine
    or what else runs on it: latencies compare on one machine with the same load (so a search does not score
    several at once), and two measurements of one network differ a little. The archive keeps the first. The standard
    error is that of a median, 1.2533·s/√30, with s from the interquartile range.
    """

    name = "latency"
    summary = "time of the network for one image, milliseconds (negative), on the machine and device of the search"
    exclusive = True
    source = "as measured in MnasNet (Tan et al., CVPR 2019): latency of batch size 1 on the target device"

    def score(self, supernet: Supernet, genotype: Genotype, context: Context) -> Score:
        """Time one genotype; the global random state and the supernet stay as they are.

        Returns:
            Minus the median time of one image, milliseconds, with its standard error over repetitions.

        Raises:
            ConfigError: no network of the supernet's size can be built.
        """
        shape, compute = supernet.shape, context.compute
        size = (1, shape.in_channels, shape.image_size, shape.image_size)
        generator = torch_generator(context.seed, "latency image")
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(derive(context.seed, "latency", genotype))
            network = compute.prepare(context.space.network(genotype, shape).float().eval())
        x_NCHW = compute.place(torch.rand(size, generator=generator))

        def run() -> float:
            start = time.perf_counter()
            with compute.autocast():
                network(x_NCHW)
            if compute.device.type != "cpu":
                torch.accelerator.synchronize(compute.device)
            return 1e3 * (time.perf_counter() - start)

        with torch.inference_mode():
            for _ in range(WARM_UP):
                run()
            times = np.array([run() for _ in range(RUNS)])
        lower, median, upper = np.quantile(times, [0.25, 0.5, 0.75]).tolist()
        # The interquartile range of a normal distribution is 1.349 standard deviations.
        spread = (upper - lower) / 1.349
        details = {
            "runs": RUNS,
            "fastest": float(times.min()),
            "quartiles": [lower, upper],
            "device": str(compute.device),
            "threads": torch.get_num_threads(),
        }
        return Score(-median, 1.2533 * spread / RUNS**0.5, details)
