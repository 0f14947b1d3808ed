"""Takes the README's pictures from a running appliance on which the demo has run.

    appliance up --detach && appliance demo
    python -m tests.browser.tour --url http://127.0.0.1:8080 --state /var/lib/appliance

The first login spends the one-time password and sets ``--password``; a later call logs in with that.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from tests.browser.test_pages import settle
from tests.browser.world import ARGUMENTS
from tests.ui.dashboard import PASSWORD

PICTURES = Path(__file__).parents[2] / "ui" / "tour"
PAGES = {
    "overview": "/",
    "data": "/data",
    "dataset": "/data/bike-sharing",
    "model": "/models/bike-demand",
    "try": "/models/bike-demand/try",
    "new-model": "/models/new",
    "service": "/monitoring/bike-demand?tab=service",
    "drift": "/monitoring/bike-demand?tab=drift&window=30d",
    "quality": "/monitoring/bike-demand?tab=quality&window=90d",
    "jobs": "/jobs",
    "alerts": "/alerts",
    "settings": "/settings",
}
SIZES = {"": (1280, 860), "-dark": (1280, 860), "-360": (360, 780), "-2560-dark": (2560, 1300)}


def main() -> None:
    """Log in, visit each page in each size, write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--password", default=PASSWORD)
    parser.add_argument("--out", type=Path, default=PICTURES)
    parser.add_argument("--all", action="store_true", help="every size, not the README's alone")
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        cookies = browser.new_context()
        log_in(cookies.new_page(), asked.url, asked.state / "admin-password", asked.password)
        state = cookies.storage_state()
        for suffix, (width, height) in SIZES.items():
            if suffix and not asked.all:
                continue
            context = browser.new_context(
                storage_state=state, viewport={"width": width, "height": height},
                color_scheme="dark" if "dark" in suffix else "light",
            )  # fmt: skip
            page = context.new_page()
            for name, path in PAGES.items():
                page.goto(asked.url + path)
                settle(page)
                page.screenshot(path=asked.out / f"{name}{suffix}.png", full_page=True)
            context.close()
        browser.close()


def log_in(page: Page, url: str, one_time: Path, password: str) -> None:
    """Log in; spends the one-time password when it is still there."""
    page.goto(f"{url}/login")
    page.get_by_label("User name").fill("admin")
    if not one_time.exists():
        page.get_by_label("Password").fill(password)
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"{url}/")
        return
    first = one_time.read_text().strip()
    page.get_by_label("Password").fill(first)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/password")
    page.get_by_label("Present password").fill(first)
    page.get_by_label("New password", exact=True).fill(password)
    page.get_by_label("New password again").fill(password)
    page.get_by_role("button", name="Set password").click()
    page.wait_for_url(f"{url}/")


if __name__ == "__main__":
    main()
