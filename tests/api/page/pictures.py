"""Take the pictures in docs/pictures, of a page that runs."""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from pathlib import Path

from PIL import Image

from tests.api.page.browsing import started

PLACE = Path(__file__).parents[3] / "docs" / "pictures"
LOOKS = {"light": ("light", 1200), "dark": ("dark", 1200), "phone": ("light", 390)}
TALLEST = 2400
COLOURS = 64
SETTLED_SECONDS = 4


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.api.page.pictures", description=__doc__)
    parser.add_argument("--address", default="http://127.0.0.1:5002")
    parser.add_argument("--token", required=True)
    asked = parser.parse_args()
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, started(Path(folder)) as browser:
        browser.log_in(asked.address, asked.token)
        time.sleep(SETTLED_SECONDS)
        for name, (scheme, width) in LOOKS.items():
            browser.look(scheme, width)
            tall = int(browser.run("document.documentElement.scrollHeight"))
            browser.look(scheme, width, min(tall, TALLEST))
            picture = Image.open(io.BytesIO(browser.driver.get_screenshot_as_png()))
            few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
            few.save(PLACE / f"page-{name}.png", optimize=True)


if __name__ == "__main__":
    main()
