#!/usr/bin/env python3
"""Make the embedded subset of Fashion-MNIST: 500 training and 100 test images of each class, drawn with a fixed seed.

Usage: python scripts/make_embedded_data.py [FOLDER_OF_IDX_GZ_FILES]

The folder (default: that of Debian's package dataset-fashion-mnist) holds the four files of the publication. The same
files give the same bytes. An .npz of deflated arrays (2.6 MB) was preferred to sheets in PNG (2.3 MB): a tenth larger,
but read by NumPy alone.
"""

from __future__ import annotations

import argparse
import gzip
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lowland.core import files, seeds

DEFAULT_SOURCE = Path("/usr/share/datasets/fashion-mnist")
TARGET = Path(__file__).resolve().parent.parent / "src" / "lowland" / "data" / "embedded"
SEED = 0
CLASSES = 10
PER_CLASS = {"train": 500, "test": 100}
FILES = {"train": "train", "test": "t10k"}

README = """# Embedded data

`fashion_mnist_6k.npz`: 6,000 images of Fashion-MNIST (Xiao, Rasul and Vollgraf 2017, arXiv:1708.07747), 28 × 28 grey:
500 training and 100 test images of each of the 10 classes, drawn by `scripts/make_embedded_data.py` with seed 0 from
the publication's training and test files as packaged by Debian (`dataset-fashion-mnist`). Arrays `x_train`
(5000, 28, 28), `y_train` (5000,), `x_test` (1000, 28, 28), `y_test` (1000,), all uint8, sorted by class.

| SHA-256 | file |
|---|---|
{rows}

## Licence

MIT License

Copyright (c) 2017 Zalando SE, https://tech.zalando.com

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of a gzipped idx file: bytes 0, 0, 8 (uint8), the number of axes, their lengths (big-endian int32)."""
    content = gzip.decompress(path.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise SystemExit(f"{path} is not an idx file of bytes")
    axes = content[3]
    shape = np.frombuffer(content, ">i4", axes, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * axes).reshape(shape)


def subset(source: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The drawn images and labels of one part, sorted by class, within a class in the order of the publication."""
    images, labels = (read_idx(source / f"{FILES[part]}-{kind}-ubyte.gz") for kind in ("images-idx3", "labels-idx1"))
    chosen = []
    for label in range(CLASSES):
        rng = seeds.numpy_rng(SEED, "fashion-mnist-6k", part, label)
        chosen.append(np.sort(rng.permutation(np.flatnonzero(labels == label))[: PER_CLASS[part]]))
    indices = np.concatenate(chosen)
    return images[indices], labels[indices]


def main() -> None:
    """Write the .npz and its README."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", nargs="?", type=Path, default=DEFAULT_SOURCE, help="folder of the four idx .gz files")
    parser.add_argument("--target", type=Path, default=TARGET, help="folder to write to")
    arguments = parser.parse_args()
    arrays = {}
    for part in PER_CLASS:
        arrays[f"x_{part}"], arrays[f"y_{part}"] = subset(arguments.source, part)
    archive = io.BytesIO()
    np.savez_compressed(archive, allow_pickle=False, **arrays)
    target = arguments.target / "fashion_mnist_6k.npz"
    files.write_bytes(target, archive.getvalue())
    listed = [target, *sorted(arguments.source.glob("*-ubyte.gz"))]
    rows = "\n".join(f"| `{files.sha256(path)}` | {path.name} |" for path in listed)
    files.write_text(arguments.target / "README.md", README.format(rows=rows))
    print(f"{target}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
