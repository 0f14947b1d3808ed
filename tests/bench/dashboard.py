"""What the dashboard weighs and how soon a page is there: ``python -m tests.bench.dashboard [--large]``, 5 minutes.

A state of its own, as the browser tests make it: a dataset of two versions, a trained model, traffic, labels; with
``--large`` that of ten models after a thousand runs and ten million predictions. Times are Chromium's own, from the
click to the first contentful paint and to the page's heading.
"""

from __future__ import annotations

import argparse
import re
import shutil
import statistics
import tempfile
from pathlib import Path

from playwright.sync_api import BrowserContext, Page, sync_playwright

from tests.bench.large_state import enlarge
from tests.bench.serving.machine import describe_machine
from tests.browser.test_pages import PAGES, settle
from tests.browser.world import ARGUMENTS, World, first_login, ids_of, open_world

ROUNDS = 3
TABS = 5
QUIET_MS = 75_000
"""Longer than the dashboard waits before it drops closed tabs and gives memory back."""

_TIMES = """() => {
  const paint = performance.getEntriesByName('first-contentful-paint')[0];
  const answer = performance.getEntriesByType('navigation')[0];
  return [answer.responseEnd, paint ? paint.startTime : NaN];
}"""
_HEADING = """() => new Promise(done => {
  const look = () => document.querySelector('h1') ? done(performance.now()) : requestAnimationFrame(look);
  look();
})"""


def main() -> None:
    """Print both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--large", action="store_true", help="with a state as it is after a year")
    large = parser.parse_args().large
    print(describe_machine(), flush=True)
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, open_world(Path(name)) as world, sync_playwright() as playwright:
        if large:
            print(enlarge(world), flush=True)
        browser = playwright.chromium.launch(executable_path=executable, args=ARGUMENTS)
        print(f"started: {world.dashboard_pss_mb():.0f} MB PSS")
        login = first_login(world, browser, Path(name) / "login.json")
        context = browser.new_context(storage_state=login)
        print_times(world, context)
        print(f"after every page {ROUNDS} times: {world.dashboard_pss_mb():.0f} MB PSS")
        tabs = [context.new_page() for _ in range(TABS)]
        for tab in tabs:
            tab.goto(world.url)
            settle(tab)
        tabs[0].wait_for_timeout(QUIET_MS)
        print(f"with {TABS} tabs open, {QUIET_MS / 1000:.0f} s later: {world.dashboard_pss_mb():.0f} MB PSS")
        browser.close()
    print(f"at the end: {describe_machine()}")


def print_times(world: World, context: BrowserContext) -> None:
    """Open each page some times and print the medians."""
    page, ids = context.new_page(), ids_of(world)
    cold = open_page(page, world.url)
    print(f"\n{'page':24} answered   painted   heading   (ms)")
    print(f"{'first, nothing cached':24} {cold[0]:8.0f}  {cold[1]:8.0f}  {cold[2]:8.0f}")
    for name, address in PAGES.items():
        each = [open_page(page, world.url + address.format(**ids)) for _ in range(ROUNDS)]
        answered, painted, heading = (statistics.median(column) for column in zip(*each, strict=True))
        print(f"{re.sub('-', ' ', name):24} {answered:8.0f}  {painted:8.0f}  {heading:8.0f}", flush=True)
    page.close()


def open_page(page: Page, url: str) -> tuple[float, float, float]:
    """Milliseconds to the whole answer, the first paint of content, and the heading."""
    page.goto(url, wait_until="commit")
    heading = float(page.evaluate(_HEADING))
    page.wait_for_timeout(100)  # the paint is reported a frame later
    answered, painted = page.evaluate(_TIMES)
    settle(page)
    return float(answered), float(painted), heading


if __name__ == "__main__":
    main()
