"""Monitoring on real data: flights, which drift with the seasons, and people, which must stay silent.

    python -m tests.browser.seasons flights DATA
    python -m tests.browser.seasons people DATA

DATA holds a folder a data set. A model is trained on the first months (people: the first two years), deployed, and
asked over HTTP for what came later: some hundred rows a day, each day at its own time, moved so that the last one is
yesterday; their labels follow a day later. Prints what moved in each month, and takes pictures of the monitoring pages,
light and dark, into ``tests/.artifacts/seasons/NAME``, which git ignores. Ends with 1 when flights do not drift, or
people do.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import polars as pl
from playwright.sync_api import sync_playwright

from appliance.house import Appliance
from appliance.model_spec import ModelSpec
from appliance.monitoring.spans import State
from tests.browser.looks import in_look
from tests.browser.test_pages import settle
from tests.browser.world import ARGUMENTS, ARTIFACTS, World, first_login, open_world, train, wait_until

ROWS_A_DAY, ROWS_A_REQUEST = 240, 80
MONTH_S = 30 * 86_400
SHOWN = 6
TABS = {"drift": "30d", "quality": "90d", "rows": "30d", "service": "30d"}
"""With the span that is pictured."""
LOOKS = ("desktop-light", "desktop-dark")


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """A data set.

    Attributes:
        read: Both parts: the rows to train on, and those that come later with their ``day``, a date.
        exclude: What is not known in time.
        protected: Whose groups are compared.
        drifts: Whether a month must move.
    """

    target: str
    read: Callable[[Path], tuple[pl.DataFrame, pl.DataFrame]]
    exclude: tuple[str, ...]
    drifts: bool
    time: str | None = None
    protected: tuple[str, ...] = ()


def flights(data: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The departures of January to March, and of each later day some."""
    rows = pl.read_parquet(data / "nycflights13" / "flights.parquet").filter(pl.col("delayed_15").is_not_null())
    first = pl.col("month") <= 3
    later = rows.filter(~first).sample(fraction=1.0, shuffle=True, seed=1)
    later = later.with_columns(pl.col("sched_dep_ts").dt.date().alias("day_of")).group_by("day_of").head(ROWS_A_DAY)
    return rows.filter(first), later.rename({"day_of": "#day"}).sort("#day")


def people(data: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The people asked in 2015 and 2016, and those of 2017 and 2018 in 120 days, drawn, since the file sorts them."""
    folder = data / "acs_employment_ma"
    rows = pl.read_parquet(folder / "people.parquet").join(pl.read_parquet(folder / "labels.parquet"), on="id")
    first = pl.col("year") <= 2016
    later = rows.filter(~first).sample(n=120 * ROWS_A_DAY, shuffle=True, seed=1)
    day = pl.lit(datetime(2020, 1, 1, tzinfo=UTC).date()) + pl.duration(days=pl.int_range(pl.len()) // ROWS_A_DAY)
    return rows.filter(first), later.with_columns(day.alias("#day"))


CASES = {
    "flights": Case(
        target="delayed_15", read=flights, time="sched_dep_ts", drifts=True,
        exclude=("flight_id", "month", "day", "dep_delay", "arr_delay", "air_time"),
    ),
    "people": Case(
        target="employed", read=people, exclude=("id", "year", "prediction", "predicted_probability"), drifts=False,
        protected=("SEX", "RAC1P"),
    ),
}  # fmt: skip


def main() -> int:
    """Train, send, look, photograph."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("case", choices=tuple(CASES))
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=ARTIFACTS.parent / "seasons")
    asked = parser.parse_args()
    name, case = asked.case, CASES[asked.case]
    out = asked.out / name
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        days: list[datetime] = []

        def fill(appliance: Appliance) -> None:
            days.extend(_fill(appliance, name, case, asked.data, Path(folder)))

        with open_world(Path(folder), fill) as world:
            moved = [_month(world.appliance, name, until) for until in days]
            _photograph(world, name, Path(folder), out)
    sys.stdout.write("".join(f"{line}\n" for line, _ in moved) + f"pictures: {out}\n")
    return int(any(is_drift for _, is_drift in moved) is not case.drifts)


def _fill(appliance: Appliance, name: str, case: Case, data: Path, folder: Path) -> list[datetime]:
    """Train, and send what came later; the ends of the months that were sent."""
    first, later = case.read(data)
    source = folder / "first.parquet"
    first.write_parquet(source)
    appliance.datasets.add(name, str(source), target=case.target, who="test")
    spec = ModelSpec(
        name=name,
        dataset=name,
        target=case.target,
        exclude=case.exclude,
        time=case.time,
        deploy="auto",
        window="30d",
        protected=case.protected,
    )
    appliance.models.create(spec, who="test")
    train(appliance, name)
    midnight = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    last = later["#day"].max()
    key = appliance.access.create_key("test", "admin", who="test").key
    columns = list(appliance.models.card(name).columns)
    with httpx.Client(base_url=appliance.settings.api_url, headers={"x-api-key": key}, timeout=60) as client:
        wait_until(lambda: client.get(f"/models/{name}").is_success, "the API to serve")
        ends = []
        for (day,), rows in later.group_by("#day", maintain_order=True):
            at = midnight - timedelta(days=1) - (last - day)
            _send_day(client, name, case.target, at, rows.select(*columns, case.target))
            ends.append(at + timedelta(days=1))
    asked = later.height
    wait_until(
        lambda: appliance.monitoring.quality(name, 366 * 86_400).labelled == asked, "the labels to be counted",
        timeout_s=600,
    )  # fmt: skip
    return ends[29::30]


def _send_day(client: httpx.Client, name: str, target: str, at: datetime, rows: pl.DataFrame) -> None:
    """A day's rows in some requests, hours apart, and their labels a day later."""
    labels = []
    for part, block in enumerate(rows.iter_slices(ROWS_A_REQUEST)):
        when = at + timedelta(hours=6 + 5 * part)
        sent = [
            {column: value.isoformat() if isinstance(value, datetime) else value for column, value in row.items()}
            for row in block.drop(target).to_dicts()
        ]
        answer = client.post(f"/models/{name}/predict", json={"rows": sent, "time": when.isoformat()})
        known = (when + timedelta(hours=24)).isoformat()
        labels += [
            {"id": one["id"], "label": truth, "time": known}
            for one, truth in zip(answer.raise_for_status().json()["predictions"], block[target], strict=True)
        ]
    client.post(f"/models/{name}/labels", json={"labels": labels}).raise_for_status()


def _month(appliance: Appliance, name: str, until: datetime) -> tuple[str, bool]:
    """What moved in the thirty days before, in a line, and whether that is a drift."""
    report = appliance.monitoring.drift(name, MONTH_S, until=until)
    quality = appliance.monitoring.quality(name, MONTH_S, until=until)
    moved = [column.name for column in report.columns if column.state is State.ALARM]
    told = ", ".join(moved[:SHOWN]) + (" …" if len(moved) > SHOWN else "") if moved else "none"
    return (
        f"30 days to {until:%Y-%m-%d}: {report.rows.current:,.0f} rows, {len(moved)} of {len(report.columns)} columns "
        f"moved: {told}; AUC {quality.metrics['auc']:.3f}, at training {quality.reference['auc']:.3f}",
        bool(moved),
    )


def _photograph(world: World, name: str, folder: Path, out: Path) -> None:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=ARGUMENTS)
        cookies = first_login(world, browser, folder / "login.json")
        for look in LOOKS:
            with in_look(browser, look, cookies) as context:
                page = context.new_page()
                for tab, span in TABS.items():
                    page.goto(f"{world.url}/monitoring/{name}?tab={tab}&window={span}")
                    settle(page)
                    if page.get_by_text("This cannot be shown").count():
                        raise RuntimeError(page.locator(".notice").first.inner_text())
                    page.screenshot(path=out / f"{tab}-{look}.png", full_page=True)
        browser.close()


if __name__ == "__main__":
    sys.exit(main())
