"""What torchrun starts: the tiny run, begun or gone on with."""

import sys
from pathlib import Path

from kills import carried

if __name__ == "__main__":
    carried(Path(sys.argv[1]), "evolution")
