"""The programs on the page Try it run when pasted: in every dialect and language, against the real API."""

from __future__ import annotations

import ast
import json
import subprocess
import sys

import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_pages import settle
from tests.browser.world import MODEL, World
from ui.programs import BATCH, DIALECTS, LANGUAGES

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

PATIENCE_MS = 120_000
ANSWERS = {"native": "predictions", "v2": "outputs", "v1": "predictions", "invocations": "predictions"}


def test_every_program_runs_when_pasted(tab: Page, world: World) -> None:
    tab.goto(f"{world.url}/models/{MODEL}/try")
    settle(tab)
    tab.get_by_role("button", name="Fill in a new key").click()
    shown = tab.locator(".snippet pre").first
    expect(shown).to_contain_text("Bearer apk_", timeout=PATIENCE_MS)
    programs = {}
    for dialect, dialect_label in DIALECTS.items():
        for language, label in LANGUAGES.items():
            if language == BATCH:
                continue
            tab.get_by_role("group", name="Dialect").get_by_role("button", name=dialect_label).click()
            tab.get_by_role("group", name="Language").get_by_role("button", name=label).click()
            mark = {"curl": "curl -s", "python": "import urllib", "javascript": "await fetch"}[language]
            expect(shown).to_contain_text(mark, timeout=PATIENCE_MS)
            path = {"native": f"/models/{MODEL}/predict", "v2": "/infer", "v1": ":predict", "invocations": "/invoc"}
            expect(shown).to_contain_text(path[dialect], timeout=PATIENCE_MS)
            programs[dialect, language] = shown.inner_text()
    for (dialect, language), text in programs.items():
        answer = json.loads(run(tab, world, language, text))
        assert ANSWERS[dialect] in answer, (dialect, language, answer)


def run(tab: Page, world: World, language: str, text: str) -> str:
    if language == "javascript":
        if not tab.url.startswith(world.settings.api_url):
            tab.goto(f"{world.settings.api_url}/health/live")  # the API answers its own origin alone
        with tab.expect_console_message(lambda message: message.type == "log") as said:
            tab.evaluate(f"(async () => {{ {text} }})()")
        return said.value.text
    command = ["bash", "-c", text] if language == "curl" else [sys.executable, "-c", text]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return done.stdout if language == "curl" else json.dumps(ast.literal_eval(done.stdout))


def test_one_click_copies(tab: Page, world: World) -> None:
    tab.context.grant_permissions(["clipboard-read", "clipboard-write"])
    tab.goto(f"{world.url}/models/{MODEL}/try")
    settle(tab)
    tab.get_by_role("button", name="Copy").first.click()
    expect(tab.locator("[data-copy]").first).to_have_text("Copied")
    assert tab.evaluate("navigator.clipboard.readText()") == tab.locator(".snippet pre").first.inner_text()
