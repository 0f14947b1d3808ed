"""A file that is not taken: the page says why, and under which id the log has it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import settle
from tests.browser.world import World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000


def test_a_file_of_another_kind_is_refused_under_an_id(tab: Page, world: World, tmp_path: Path) -> None:
    tab.goto(f"{world.url}/data")
    settle(tab)
    diary = tmp_path / "notes.doc"
    diary.write_text("dear diary")
    tab.set_input_files(".drop input", diary)
    told = tab.locator(".q-notification").first
    expect(told).to_contain_text("notes.doc", timeout=PATIENCE_MS)
    expect(told).to_contain_text(re.compile(r"\(error [0-9a-f]{8}\)"))
