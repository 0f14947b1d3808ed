"""From a dropped file to an answered prediction: ``python -m tests.bench.way_through``, a minute or two.

A new appliance, Debian's Chromium, the demo's 17,379 bike rentals as a CSV file. Prints the seconds and the clicks from
the drop to the answer; the exit code is 1 beyond 60 s or five clicks.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.bench.serving.machine import describe_machine
from tests.browser.way import bike_csv, count_clicks, wait_for_jobs, walk
from tests.browser.world import ARGUMENTS, first_login, open_world

MOST_SECONDS = 60.0
MOST_CLICKS = 5


def main() -> int:
    """Walk once."""
    print(describe_machine(), flush=True)
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with (
        tempfile.TemporaryDirectory() as name,
        open_world(Path(name), wait_for_jobs) as world,
        sync_playwright() as playwright,
    ):
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        context = browser.new_context(storage_state=first_login(world, browser, Path(name) / "login.json"))
        count_clicks(context)
        way = walk(context.new_page(), world.url, bike_csv(Path(name)))
        browser.close()
    print(f"from the drop to the answer: {way.seconds:.1f} s, {way.clicks} clicks; answered {way.answer:.0f}")
    print(f"at the end: {describe_machine()}")
    return 0 if way.seconds <= MOST_SECONDS and way.clicks <= MOST_CLICKS else 1


if __name__ == "__main__":
    sys.exit(main())
