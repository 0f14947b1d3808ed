"""The whole dashboard in a made-up language, in Chromium: what is still in English on a page, nobody marked."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import watched_tab
from tests.browser.test_pages import PAGES, PATIENCE_MS
from tests.browser.world import MODEL, SECOND, World, ids_of
from tests.ui import pseudo
from tests.ui.dashboard import PASSWORD, Dashboard, serve_dashboard
from tests.ui.unmarked import literals, modules
from ui.texts import list_languages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(900)]

VISIBLE = """
() => {
  document.querySelectorAll("time").forEach((time) => time.replaceWith(time.textContent));
  document.body.normalize();
  const code = "script, style, title, pre, code, .icon, .material-icons, .q-icon, .nicegui-error-popup, #popup, " +
    "body [lang]";
  const found = [];
  const seen = (node) => node.checkVisibility({ visibilityProperty: true });
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const parent = walker.currentNode.parentElement;
    if (!parent.closest(code) && seen(parent)) found.push(walker.currentNode.data.trim());
  }
  for (const name of ["aria-label", "title", "placeholder", "alt"]) {
    for (const node of document.querySelectorAll(`[${name}]`)) {
      if (!node.closest(code) && seen(node)) found.push(node.getAttribute(name));
    }
  }
  return [...new Set(found)].filter((text) => /[A-Za-z]{2}/.test(text));
}
"""
"""Every text that is seen or read out: of elements, of charts, and of the attributes that hold one.

What says that it is in a language of its own (the help's files, the checks of the host) is no text of the code.
"""
SAID = re.compile(f"{pseudo.OPEN}[^{pseudo.OPEN}{pseudo.CLOSE}]*{pseudo.CLOSE}")


@contextmanager
def speaking(world: World, language: str) -> Iterator[Dashboard]:
    """A second dashboard on the same state, in another language."""
    settings = world.settings
    with serve_dashboard(settings.state, {
        "APPLIANCE_UI_LANGUAGE": language, "APPLIANCE_API_PORT": str(settings.api_port),
        "APPLIANCE_ORCHESTRATOR_PORT": str(settings.orchestrator_port),
        "APPLIANCE_MLFLOW_PORT": str(settings.mlflow_port),
    }) as running:  # fmt: skip
        yield running


@pytest.fixture(scope="module")
def foreign(world: World) -> Iterator[Dashboard]:
    """One that speaks the made-up language."""
    pseudo.put(world.settings.layout.locale)
    with speaking(world, pseudo.LANGUAGE) as running:
        yield running


@pytest.fixture
def foreigner(foreign: Dashboard, chromium: Browser, state_of_login: Path) -> Iterator[Page]:
    """An admin's tab in it."""
    context = chromium.new_context(viewport={"width": 1280, "height": 860})
    with watched_tab(context) as watched:
        watched.page.goto(f"{foreign.url}/login")
        assert untranslated(watched.page) == []
        log_in(watched.page)
        yield watched.page
        assert watched.complaints == []
    context.close()


def log_in(page: Page) -> None:
    page.locator("input[name=name]").fill("admin")
    page.locator("input[name=password]").fill(PASSWORD)
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda address: not address.endswith("/login"))


def test_every_text_of_every_page_is_translated(world: World, foreign: Dashboard, foreigner: Page) -> None:
    ids = ids_of(world)
    left: dict[str, list[str]] = {}
    for name, address in PAGES.items():
        foreigner.goto(foreign.url + address.format(**ids))
        settle(foreigner)
        left[name] = untranslated(foreigner)
        assert foreigner.get_by_text(pseudo.pseudo("This cannot be shown")).count() == 0, name
        assert foreigner.locator("html").get_attribute("lang") == pseudo.LANGUAGE
    assert {name: texts for name, texts in left.items() if texts} == {}


def test_every_text_of_the_dialogs_is_translated(foreign: Dashboard, foreigner: Page) -> None:
    for address, label in (
        (f"/models/{SECOND}", "Roll back"), ("/data/bikes?tab=feed", "Refresh by a schedule"),
        ("/data/bikes?tab=feed", "Watch a folder"), ("/data/bikes?tab=rules", "Declare rules"),
    ):  # fmt: skip
        foreigner.goto(foreign.url + address)
        settle(foreigner)
        foreigner.get_by_role("button", name=pseudo.pseudo(label)).click()
        expect(foreigner.locator(".dialog")).to_be_visible()
        assert untranslated(foreigner) == [], label


def test_the_script_and_a_message_that_floats_in_are_translated(foreign: Dashboard, foreigner: Page) -> None:
    foreigner.goto(f"{foreign.url}/models/{MODEL}/try")
    settle(foreigner)
    copy = foreigner.locator("[data-copy]").first
    assert copy.inner_text() == pseudo.pseudo("Copy")
    copy.click()
    expect(copy).to_have_text(pseudo.pseudo("Copied"))
    foreigner.goto(f"{foreign.url}/audit")
    foreigner.get_by_role("button", name=pseudo.pseudo("Verify the chain")).click()
    expect(foreigner.locator(".q-notification")).to_contain_text(pseudo.OPEN)
    assert untranslated(foreigner) == []


def test_what_is_refused_before_a_page_is_drawn_is_translated(foreign: Dashboard, foreigner: Page) -> None:
    with httpx.Client(base_url=foreign.url) as client:
        answer = client.post("/login", data={"name": "admin"}, headers={"sec-fetch-site": "cross-site"})
    foreigner.context.clear_cookies()
    foreigner.goto(foreign.url + answer.headers["location"])
    assert foreigner.locator(".notice").inner_text().count(pseudo.OPEN) == 2  # the sentence, in the one with its id
    assert untranslated(foreigner) == []


@pytest.mark.parametrize("language", list_languages()[1:])
def test_every_page_fits_in_each_language_that_is_shipped(
    world: World, chromium: Browser, state_of_login: Path, language: str
) -> None:
    ids, problems = ids_of(world), []
    with speaking(world, language) as dashboard:
        for width in (360, 1280):
            context = chromium.new_context(viewport={"width": width, "height": 860})
            with watched_tab(context) as watched:
                watched.page.goto(f"{dashboard.url}/login")
                log_in(watched.page)
                for name, address in PAGES.items():
                    watched.page.goto(dashboard.url + address.format(**ids))
                    settle(watched.page)
                    if watched.page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                        problems.append(f"{name}: scrolls sideways at {width} px")
                assert watched.page.locator("html").get_attribute("lang") == language.replace("_", "-")
                problems += watched.complaints
            context.close()
    assert problems == []


def untranslated(page: Page) -> list[str]:
    """What is seen on the page outside the brackets and is a literal of the dashboard's code."""
    rest = {part.strip(_AROUND) for text in page.evaluate(VISIBLE) for part in _left_of(text)}
    return sorted(part for part in rest if len(part) > 1 and is_ours(part))


def _left_of(text: str) -> list[str]:
    """What stands outside the brackets, which may hold others."""
    while (shorter := SAID.sub("\0", text)) != text:
        text = shorter
    return text.split("\0")


def is_ours(text: str) -> bool:
    """Whether the dashboard's code says it: as a whole, or a sentence of its in it."""
    return text in OURS or any(one in text for one in OURS if " " in one)


def _ours() -> frozenset[str]:
    found = (text for file in modules() for text in literals(ast.parse(file.read_text(encoding="utf-8"))))
    return frozenset(text.strip(_AROUND) for text in found if re.search("[A-Za-z]{2}", text)) - NOT_TRANSLATED


_AROUND = " ·:;,.→/\n"
NOT_TRANSLATED = frozenset({
    "MLOps appliance", "MLflow", "Prefect", "CSV", "UTC",  # names
    "curl", "Python", "JavaScript", "Open Inference V2", "TensorFlow Serving V1", "MLflow, SageMaker",
    # Words of the appliance and of the data that the code has, too: as keys, as names of styles, in addresses.
    "test", "hour", "category", "number", "datetime", "label", "prediction", "missing", "unseen", "inputs", "quality",
    "done", "predict", "admin",
    # What stands in the state, where everybody reads it: who did it, keys' names, the audit's reasons, kinds of alerts.
    "dashboard", "deployed from its training", "stopped", "feed", "cli", "watch",
})  # fmt: skip
OURS = _ours()


def settle(page: Page) -> None:
    """Wait for the heading, for the parts that come later, and for the charts."""
    page.wait_for_selector("h1")
    waits = "[...document.querySelectorAll('[role=status] .icon')].some(i => i.innerText.includes('hourglass_top'))"
    page.wait_for_function(f"!{waits}", timeout=PATIENCE_MS)
    page.wait_for_function(
        "[...document.querySelectorAll('.chart')].every(c => c.querySelector('svg') || !c.offsetParent)"
    )
    page.wait_for_timeout(250)
