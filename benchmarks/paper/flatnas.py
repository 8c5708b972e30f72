"""FlatNAS' matrix: accuracy alone, its network retrained with SAM, and F_α at three α, on CIFAR-10 or other data.

It is `benchmarks/flatnas_matrix.py`, small or with the paper's numbers: 100 + 30 · 8 networks of at most 5 M parameters
in the full space, fine-tuned for 6 epochs with adaptive SAM at ρ = 2, R of 20 draws at σ = .05.

    python benchmarks/paper/flatnas.py
    python benchmarks/paper/flatnas.py --scale published --data /data/cifar100.npz
"""

from __future__ import annotations

import sys

from paper import flatnas_matrix, parser

PUBLISHED = (
    *("--space", "mobilenetv3", "--initial", "100", "--iterations", "30", "--max-params", "5000000"),
    *("--finetune-epochs", "6", "--retrain-epochs", "6", "--sgd-retrain-epochs", "6", "--supernet-epochs", "120"),
    *("--sigma", "0.05", "--draws", "20", "--rho", "2.0", "--images", "50000", "--test", "10000"),
    *("--score-images", "10000"),
)


def main() -> None:
    made = parser(__doc__, "flatnas")
    made.add_argument("--data", help="data set, folder or .npz [default: CIFAR-10 of the development folder]")
    arguments, others = made.parse_known_args()
    words = [*(PUBLISHED if arguments.scale == "published" else ()), *others]
    words += ["--seeds", *map(str, arguments.seeds), "--work", str(arguments.work), "--name", arguments.scale]
    if arguments.data:
        words += ["--data", arguments.data]
    arguments.out.mkdir(parents=True, exist_ok=True)
    sys.argv = [sys.argv[0], *words, "--out", str(arguments.out / "flatnas.json")]
    flatnas_matrix.main()


if __name__ == "__main__":
    main()
