"""Images with structure at several scales, and how alike two are."""

import numpy as np
import torch
from PIL import Image


def smooth(count: int, channels: int, size: int) -> torch.Tensor:
    """Images with structure at several scales, like photographs."""
    rng = np.random.default_rng(0)
    x = np.zeros((count, channels, size, size))
    for cells in (2, 4, 8, size):
        coarse = rng.random((count, channels, cells, cells)) * 255
        for i in range(count):
            for c in range(channels):
                layer = Image.fromarray(coarse[i, c].astype(np.float32)).resize((size, size), Image.Resampling.BICUBIC)
                x[i, c] += np.asarray(layer) * {2: 0.4, 4: 0.3, 8: 0.2}.get(cells, 0.1)
    return torch.from_numpy(x.clip(0, 255).astype(np.uint8))


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    squared = (a.double() - b.double()).pow(2).flatten(1).mean(1).clamp(min=1e-6)  # equal images: 108 dB
    return float((10 * torch.log10(255**2 / squared)).mean())
