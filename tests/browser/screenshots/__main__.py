"""Takes a picture of every page in every look, of an appliance that it starts and fills itself.

    python -m tests.browser.screenshots [--out FOLDER] [--look desktop-light] [--page overview] …

The pictures go to ``tests/.artifacts/screenshots/LOOK/PAGE.png``, which git ignores. Ends with 1 when a page complains,
asks another host or scrolls sideways, and says which.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.looks import LOOKS
from tests.browser.test_pages import PAGES, photograph
from tests.browser.world import ARGUMENTS, ARTIFACTS, first_login, open_world


def main() -> int:
    """Start an appliance, photograph, end it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=ARTIFACTS)
    parser.add_argument("--look", action="append", choices=tuple(LOOKS), help="all when left out")
    parser.add_argument("--page", action="append", choices=tuple(PAGES), help="all when left out")
    asked = parser.parse_args()
    problems: list[str] = []
    with tempfile.TemporaryDirectory() as folder, open_world(Path(folder)) as world, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        cookies = first_login(world, browser, Path(folder) / "login.json")
        for look in asked.look or LOOKS:
            problems += photograph(world, browser, cookies, look, asked.out, pages=asked.page or tuple(PAGES))
        browser.close()
    sys.stdout.write("".join(f"{problem}\n" for problem in problems) + f"pictures: {asked.out}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
