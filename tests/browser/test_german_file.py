"""The whole way once more with a file as a German office writes it: semicolons, decimal commas, umlauts, blanks."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import watched_tab
from tests.browser.looks import LOOKS, in_look
from tests.browser.test_pages import settle
from tests.browser.world import ARTIFACTS, World

pytestmark = [pytest.mark.browser, pytest.mark.timeout(1800)]

PATIENCE_MS = 240_000
HOURS = 2_400
STATIONS = ("Köln-Süd", "Düsseldorf Nord", "Böblingen")


def comma(value: float) -> str:
    return f"{value:.2f}".replace(".", ",")


def readings() -> Iterator[dict[str, str | float]]:
    """One an hour: what heat a district used, which follows the cold, the hour and the station."""
    chance = random.Random(7)
    for hour in range(HOURS):
        at = datetime(2025, 10, 1, tzinfo=UTC) + timedelta(hours=hour)
        cold = 9 - 8 * math.sin(hour / 24 / 58) + 3 * math.sin(hour / 24 * 2 * math.pi) + chance.gauss(0, 1.5)
        station = STATIONS[hour % 3]
        used = 12 + 0.9 * max(0.0, 16 - cold) + 2 * (6 <= at.hour < 9) + STATIONS.index(station) + chance.gauss(0, 0.4)
        yield {
            "Zählerstand am": f"{at:%Y-%m-%d %H:%M}", "Außentemperatur (°C)": round(cold, 2), "Station": station,
            "Werktag": "ja" if at.weekday() < 5 else "nein", "Wärmebedarf MWh": round(used, 2),
        }  # fmt: skip


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = list(readings())
    lines = [";".join(rows[0])]
    lines += [";".join(comma(v) if isinstance(v, float) else v for v in row.values()) for row in rows]
    file = tmp_path_factory.mktemp("german") / "Fernwärme 2025.csv"
    file.write_text("\r\n".join(lines) + "\r\n", encoding="cp1252")
    return file


def test_from_a_german_file_to_a_watched_model(
    tab: Page, world: World, chromium: Browser, state_of_login: Path, german: Path
) -> None:
    tab.goto(f"{world.url}/data")
    settle(tab)
    tab.set_input_files(".drop input", str(german))
    for column, found in (
        ("Zählerstand am", "date and time (found)"), ("Außentemperatur (°C)", "number (found)"),
        ("Wärmebedarf MWh", "number (found)"), ("Werktag", "text (found)"),
    ):  # fmt: skip
        expect(tab.get_by_label(f"Read {column} as").locator("option:checked")).to_have_text(found, timeout=PATIENCE_MS)
    shoot(tab, "1-preview")
    assert tab.get_by_label("Dataset name").input_value() == "fernwaerme-2025"
    tab.get_by_role("button", name="Save").click()
    tab.wait_for_url("**/data/fernwaerme-2025", timeout=PATIENCE_MS)
    settle(tab)
    expect(tab.get_by_role("row", name="Außentemperatur (°C)")).to_contain_text("number")
    tab.get_by_role("link", name="Create a model").click()
    tab.get_by_role("link", name="Wärmebedarf MWh").click()
    expect(tab.get_by_text("What was found out")).to_be_visible(timeout=PATIENCE_MS)
    model = tab.get_by_label("Name of the model").input_value()
    assert model == "fernwaerme-2025-waermebedarf-mwh"
    tab.get_by_role("button", name="Train", exact=True).click()
    tab.wait_for_url("**/jobs/*", timeout=PATIENCE_MS)
    expect(tab.locator(".page .status", has_text="Completed")).to_be_visible(timeout=PATIENCE_MS)
    job = tab.url.rsplit("/", 1)[-1]
    tab.get_by_role("button", name="Deploy version 1").click()
    tab.wait_for_url(f"**/models/{model}/try", timeout=PATIENCE_MS)
    expect(tab.get_by_role("button", name="Roll back")).to_have_count(0)  # nothing served before it
    tab.get_by_label("Außentemperatur (°C)").fill("-7.5")
    tab.get_by_role("button", name="Predict").click()
    expect(tab.locator(".answer .value")).to_be_visible(timeout=PATIENCE_MS)
    assert 25 < float(tab.locator(".answer .value").inner_text().replace(",", "")) < 45
    shoot(tab, "7-answer")
    send(world, model)
    addresses = {
        "2-dataset": "/data/fernwaerme-2025", "2-rows": "/data/fernwaerme-2025?tab=rows",
        "3-target": "/models/new?dataset=fernwaerme-2025",
        "3-draft": "/models/new?dataset=fernwaerme-2025&target=W%C3%A4rmebedarf%20MWh",
        "4-job": f"/jobs/{job}", "5-result": f"/models/{model}", "6-try": f"/models/{model}/try",
        "8-overview": "/", "8-service": f"/monitoring/{model}?tab=service",
        "8-drift": f"/monitoring/{model}?tab=drift&window=365d",
        "8-quality": f"/monitoring/{model}?tab=quality&window=365d",
        "8-rows": f"/monitoring/{model}?tab=rows&window=365d",
        "9-alerts": "/alerts",
    }  # fmt: skip
    problems = []
    for look, (width, _, _) in LOOKS.items():
        with in_look(chromium, look, state_of_login) as context:
            for name, address in addresses.items():
                with watched_tab(context) as watched:
                    watched.page.goto(world.url + address)
                    settle(watched.page)
                    shoot(watched.page, f"{look}/{name}")
                    problems += [f"{look} {name}: {complaint}" for complaint in watched.complaints]
                    if watched.page.evaluate("document.documentElement.scrollWidth > innerWidth + 1"):
                        problems.append(f"{look} {name}: scrolls sideways at {width} px")
                    if watched.page.get_by_text("This cannot be shown").count():
                        problems.append(f"{look} {name}: {watched.page.locator('.notice').first.inner_text()}")
    assert problems == []


def send(world: World, model: str) -> None:
    """A week of traffic in which it is warmer than it ever was, and its labels."""
    key = world.appliance.access.create_key("german", "admin", who="test").key
    with httpx.Client(base_url=world.settings.api_url, headers={"x-api-key": key}, timeout=60) as client:
        rows, labels = list(readings())[-168:], []
        for row in rows:
            used, at = row.pop("Wärmebedarf MWh"), str(row["Zählerstand am"]).replace(" ", "T") + ":00Z"
            row["Außentemperatur (°C)"] = float(row["Außentemperatur (°C)"]) + 25
            answer = client.post(f"/models/{model}/predict", json={"rows": [row], "time": at}).raise_for_status()
            labels.append({"id": answer.json()["predictions"][0]["id"], "label": used, "time": at})
        client.post(f"/models/{model}/labels", json={"labels": labels}).raise_for_status()


def shoot(page: Page, name: str) -> None:
    file = ARTIFACTS / "german" / f"{name}.png"
    file.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=file, full_page=True)
