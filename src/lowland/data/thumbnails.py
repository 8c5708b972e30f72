"""Images as `data:` URIs for a page that loads nothing from elsewhere: small ones as they are, larger ones shrunk."""

from __future__ import annotations

import base64
import io

import torch
from PIL import Image
from torch import Tensor

MOST_SIDE = 96
"""Pixels; larger images are shrunk to it."""

LOSSLESS_SIDE = 64
"""Up to this side PNG, which keeps every pixel; above JPEG, since the bytes of a page are bounded."""


def data_uris(x_NCHW: Tensor) -> list[str]:
    """uint8 images (N, 1 or 3, H, W) as `data:image/…;base64,…`, each at most about 17 kB."""
    found = []
    for x_CHW in x_NCHW.cpu():
        array = x_CHW[0].numpy() if len(x_CHW) == 1 else torch.movedim(x_CHW, 0, -1).contiguous().numpy()
        picture = Image.fromarray(array)
        if max(picture.size) > MOST_SIDE:
            picture.thumbnail((MOST_SIDE, MOST_SIDE), Image.Resampling.BILINEAR)
        lossless = max(picture.size) <= LOSSLESS_SIDE
        kind = "png" if lossless else "jpeg"
        buffer = io.BytesIO()
        if lossless:
            picture.save(buffer, format="PNG", optimize=True)
        else:
            picture.save(buffer, format="JPEG", quality=80)
        found.append(f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode('ascii')}")
    return found
