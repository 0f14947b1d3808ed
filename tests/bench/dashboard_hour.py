"""Five browsers on the dashboard for an hour: what its process weighs, and which calls hold its event loop.

``python -m tests.bench.dashboard_hour [--minutes 60]``. Each browser goes through all pages, one after another, drops a
file every few pages and saves it, asks in SQL and for a prediction; all of them stay open and live meanwhile. Exit code
1 when the process grew by more than a tenth after its first five minutes, or something failed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from playwright.sync_api import Error, Page, sync_playwright

from appliance.processes.procfs import list_tree
from tests.bench.serving.machine import describe_machine
from tests.browser.test_pages import PAGES, settle
from tests.browser.world import ARGUMENTS, MODEL, World, first_login, ids_of, open_world

BROWSERS = 5
WARM_S = 300.0
GROWTH = 1.10
ROWS = 4_000
PATIENCE_MS = 120_000
LOOKED_AT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """Memory (PSS) at one moment, in MB of 10**6 bytes: of the process, and of the children it has just then."""

    at_s: float
    own_mb: float
    children_mb: float


def main() -> int:
    """Start, click, look, judge."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    minutes = parser.parse_args().minutes
    print(describe_machine(), flush=True)
    executable = shutil.which("chromium") or shutil.which("chromium-browser")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder, calls = Path(name), Path(name) / "calls.ndjson"
        observed = ("tests.bench.observed_dashboard", str(calls))
        with open_world(folder, dashboard=observed) as world:
            browsers = [playwright.chromium.launch(executable_path=executable, args=ARGUMENTS) for _ in range(BROWSERS)]
            login = first_login(world, browsers[0], folder / "login.json")
            tabs = [browser.new_context(storage_state=login).new_page() for browser in browsers]
            looks, done = _click(world, tabs, folder, minutes * 60)
            for browser in browsers:
                browser.close()
        return _judge(looks, done, calls)


def _click(world: World, tabs: list[Page], folder: Path, lasts_s: float) -> tuple[list[Look], dict[str, int]]:
    """Let each browser do its next step in turn until the time is up."""
    began = time.monotonic()
    looks = [_look(0.0, world.dashboard_pid)]
    print(f"before: {looks[0].own_mb:.0f} MB", flush=True)
    steps = [_steps(world, tab, folder, number) for number, tab in enumerate(tabs)]
    done: dict[str, int] = {}
    told_s = 0.0
    while (at_s := time.monotonic() - began) < lasts_s:
        for step in steps:
            what, do = next(step)
            try:
                do()
            except Error as exc:
                what = f"failed: {what}"
                print(f"{what}: {str(exc).splitlines()[0]}", flush=True)
            done[what] = done.get(what, 0) + 1
            if time.monotonic() - began - looks[-1].at_s > LOOKED_AT_S:
                looks.append(_look(time.monotonic() - began, world.dashboard_pid))
        if at_s - told_s >= 60:
            told_s = at_s
            print(f"{at_s / 60:5.1f} min: {looks[-1].own_mb:.0f} MB, children {looks[-1].children_mb:.0f} MB, {done}",
                  flush=True)  # fmt: skip
    looks.append(_look(time.monotonic() - began, world.dashboard_pid))
    return looks, done


def _steps(world: World, tab: Page, folder: Path, number: int) -> Iterator[tuple[str, Callable[[], None]]]:
    """What one browser does, without end; each begins at another page."""
    ids = ids_of(world)
    addresses = [address.format(**ids) for address in PAGES.values()]
    turned = addresses[number * 5 :] + addresses[: number * 5]
    for count, address in enumerate(itertools.cycle(turned)):
        yield "pages", partial(_open, tab, world.url + address)
        match count % 10:
            case 3:
                yield "uploads", partial(_upload, world, tab, folder, f"soak-{number}", count)
            case 6:
                yield "queries", partial(_query, world, tab)
            case 9:
                yield "predictions", partial(_predict, world, tab)


def _open(tab: Page, url: str) -> None:
    tab.goto(url, timeout=PATIENCE_MS)
    settle(tab)


def _upload(world: World, tab: Page, folder: Path, dataset: str, count: int) -> None:
    file = folder / f"{dataset}.csv"
    lines = (f"{i},{(i * 7 + count) % 101 / 3:.3f},{'red' if (i + count) % 3 else 'blue'},2026-01-{i % 28 + 1:02d}"
             for i in range(ROWS))  # fmt: skip
    file.write_text("size,price,colour,day\n" + "\n".join(lines) + "\n")
    _open(tab, f"{world.url}/data")
    tab.set_input_files(".drop input", str(file))
    tab.get_by_label("Read size as").wait_for(timeout=PATIENCE_MS)
    tab.get_by_role("button", name="Save").click()
    tab.wait_for_url(f"**/data/{dataset}", timeout=PATIENCE_MS)


def _query(world: World, tab: Page) -> None:
    _open(tab, f"{world.url}/data/bikes?tab=sql")
    tab.get_by_role("button", name="Run").click()
    tab.locator(".grid-html").wait_for(timeout=PATIENCE_MS)


def _predict(world: World, tab: Page) -> None:
    _open(tab, f"{world.url}/models/{MODEL}/try")
    tab.get_by_role("button", name="Predict").click()
    tab.locator(".answer .value").wait_for(timeout=PATIENCE_MS)


def _look(at_s: float, pid: int) -> Look:
    own, *children = (_pss_mb(each) for each in list_tree(pid))
    return Look(at_s=at_s, own_mb=own, children_mb=sum(children))


def _pss_mb(pid: int) -> float:
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:")) * 1024 / 1e6


def _judge(looks: list[Look], done: dict[str, int], calls: Path) -> int:
    """Medians of the minute after the first five and of the last one; the calls that held the loop."""
    end_s = looks[-1].at_s
    after = [look.own_mb for look in looks if WARM_S <= look.at_s < WARM_S + 60] or [looks[0].own_mb]
    last = [look.own_mb for look in looks if look.at_s >= end_s - 60]
    warm, end = statistics.median(after), statistics.median(last)
    print(f"\n{done} in {end_s / 60:.0f} minutes with {BROWSERS} browsers")
    print(
        f"memory (PSS) of the dashboard's process: before {looks[0].own_mb:.0f} MB, after five minutes {warm:.0f}, "
        f"at the end {end:.0f} ({end / warm:.2f} x), at most {max(look.own_mb for look in looks):.0f}; "
        f"with its children at most {max(look.own_mb + look.children_mb for look in looks):.0f}"
    )
    held = [json.loads(line) for line in calls.read_text(encoding="utf-8").splitlines()]
    long = sorted((one for one in held if one["cpu_s"] > 0.05), key=lambda one: -one["cpu_s"])
    print(f"calls of the event loop above 50 ms: {len(held)} by the clock, {len(long)} by the processor's time")
    for one in long[:20]:
        print(
            f"  {one['cpu_s'] * 1e3:.0f} ms of the processor, {one['gc_s'] * 1e3:.0f} of them collecting garbage; "
            f"{one['wall_s'] * 1e3:.0f} by the clock: {one['call']}"
        )
    print(f"at the end: {describe_machine()}")
    return int(end / warm > GROWTH or any(what.startswith("failed") for what in done))


if __name__ == "__main__":
    sys.exit(main())
