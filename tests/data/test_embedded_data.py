import gzip
import hashlib
import subprocess
import sys
from importlib import resources
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_embedded_data.py"
FOLDER = resources.files("lowland.data") / "embedded"


def _idx_gz(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.tobytes()))


@pytest.fixture
def publication(tmp_path):
    """A small stand-in for the four files of the publication: every image's pixels are its index, in two bytes."""
    for part, count in (("train", 6000), ("t10k", 1500)):
        images = np.zeros((count, 28, 28), dtype=np.uint8)
        images[:, 0, 0], images[:, 0, 1] = np.divmod(np.arange(count), 256)
        _idx_gz(tmp_path / f"{part}-images-idx3-ubyte.gz", images)
        _idx_gz(tmp_path / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8))
    return tmp_path


def test_the_script_draws_a_balanced_subset_and_gives_the_same_bytes_again(publication, tmp_path):
    written = []
    for name in ("first", "second"):
        target = tmp_path / name
        subprocess.run([sys.executable, SCRIPT, publication, "--target", target], check=True, capture_output=True)
        written.append((target / "fashion_mnist_6k.npz").read_bytes())
        assert hashlib.sha256(written[-1]).hexdigest() in (target / "README.md").read_text()
    assert written[0] == written[1]
    with np.load(tmp_path / "first" / "fashion_mnist_6k.npz", allow_pickle=False) as arrays:
        for part, each in (("train", 500), ("test", 100)):
            x, y = arrays[f"x_{part}"], arrays[f"y_{part}"]
            index = x[:, 0, 0].astype(int) * 256 + x[:, 0, 1]
            assert np.bincount(y).tolist() == [each] * 10
            assert (index % 10 == y).all()
            assert len(set(index)) == len(index)


def test_the_readme_names_the_sum_of_what_is_embedded():
    content = (FOLDER / "fashion_mnist_6k.npz").read_bytes()
    assert len(content) < 3.5e6
    readme = (FOLDER / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in readme
    assert "Permission is hereby granted" in readme
