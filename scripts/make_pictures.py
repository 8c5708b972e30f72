#!/usr/bin/env python3
"""Make the picture of the README from a finished run: its report as the present version draws it.

    python scripts/make_pictures.py RUN

RUN is a run directory, whose search, training and evaluation are done; it is copied and not changed. The report is
drawn by a headless Chromium (`chromium`, `chromium-browser` or `google-chrome` on the PATH, or --browser) at the width
of a small window, cut below its first sections and kept as docs/report.png in 256 colours.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

from lowland.workflow import reporting

TARGET = Path(__file__).resolve().parents[1] / "docs" / "report.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1000, 2330
"""Of the part of the page that is shown, CSS pixels: key figures, results, the cell found and its loss landscape."""

SHOWN = 700
"""Width of the picture, pixels."""


def report_of(run: Path, folder: Path) -> Path:
    """The report of a copy of the run, which calls its folder runs/mine, wherever it lies."""
    copy = folder / "mine"
    shutil.copytree(run, copy)
    page = reporting.report(copy)
    page.write_text(page.read_text(encoding="utf-8").replace(str(copy.absolute()), "runs/mine"), encoding="utf-8")
    return page


def drawn(page: Path, browser: str, folder: Path) -> Image.Image:
    """The page as a picture, in light colours."""
    target = folder / "page.png"
    command = [
        browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
        "--blink-settings=preferredColorScheme=1", f"--window-size={WIDTH},{HEIGHT}", f"--screenshot={target}",
        page.resolve().as_uri(),
    ]  # fmt: skip
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    with Image.open(target) as picture:
        return picture.convert("RGB")


def main() -> None:
    """Make docs/report.png."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="a finished run directory")
    parser.add_argument("--browser", default=next(filter(shutil.which, BROWSERS), None))
    parser.add_argument("--out", type=Path, default=TARGET)
    given = parser.parse_args()
    if given.browser is None:
        sys.exit(f"there is no browser: install one of {', '.join(BROWSERS)}, or name one by --browser")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        picture = drawn(report_of(given.run, folder), given.browser, folder)
    height = round(picture.height * SHOWN / picture.width)
    small = picture.resize((SHOWN, height), Image.Resampling.LANCZOS)
    small.quantize(256, dither=Image.Dither.NONE).save(given.out, optimize=True)
    print(f"{given.out}: {SHOWN} × {height} pixels, {given.out.stat().st_size / 1e3:.0f} kB")


if __name__ == "__main__":
    main()
