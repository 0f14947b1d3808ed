"""What is watched over HTTP: data quality, how deployments were proved, one alert."""

from __future__ import annotations

from contextlib import closing
from urllib.parse import quote

import numpy as np
import polars as pl
import pytest

from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from storage.alert_rows import NewAlert, open_alert
from storage.statedb import connect, transaction
from tests.api.control.conftest import Control
from tests.monitoring.traffic import START, START_US, Traffic, encoded_rows, publish, regression_schema, training_frame


@pytest.fixture
def settings(control: Control) -> Settings:
    """Of the served house, with a version, traffic and an alert."""
    made = control.appliance.settings
    publish(made, regression_schema(), training_frame())
    traffic = Traffic(made)
    rows = encoded_rows(np.random.default_rng(0), 200)
    rows[:50, 1] = -1.0
    traffic.predict(rows, event_us=START_US)
    traffic.close()
    with closing(Watch(made.layout)) as watch:
        watch_once(watch)
    with closing(connect(made.layout.database)) as db, transaction(db):
        new = NewAlert(model="rent", subject="data_quality", state="warn", message="It changed.", opened_at=START)
        open_alert(db, new)
    return made


def test_data_quality_by_column(control: Control, settings: Settings) -> None:
    assert settings.state.is_dir()
    found = control.client.get("/models/rent/data-quality?window=24h", headers=control.read).json()
    assert (found["rows"], found["state"]) == (200, "alarm")
    season = next(column for column in found["columns"] if column["name"] == "season")
    assert season["unseen"] == {"share": {"reference": 0.0, "current": 0.25}, "count": 50, "state": "alarm"}
    assert control.client.get("/models/rent/data-quality?window=soon", headers=control.read).status_code == 422


@pytest.mark.parametrize(
    "path",
    ["drift", "drift/temp", "data-quality", "latency", "traffic", "quality", "quality/by/season", "fairness",
     "quality/series"],
)  # fmt: skip
def test_every_question_may_be_of_a_span_that_is_over(control: Control, settings: Settings, path: str) -> None:
    assert settings.state.is_dir()
    ask, read = control.client.get, control.read
    for query in (
        "window=24h&until=2026-03-03",
        "window=2026-03-02/2026-03-03",
        "window=1d&until=2026-03-03T02:00+02:00",
    ):
        found = ask(f"/models/rent/{path}?{query}", headers=read)
        assert found.status_code == 200, found.text
        if "window" in found.json():
            assert found.json()["window"] == {"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}
    refused = ask(f"/models/rent/{path}?until=soon", headers=read)
    assert (refused.status_code, "ISO 8601" in refused.text) == (422, True)


@pytest.mark.parametrize(
    "path",
    ["drift", "drift/temp", "data-quality", "latency", "traffic", "quality", "quality/by/season", "fairness",
     "quality/series"],
)  # fmt: skip
def test_the_longest_span_is_answered_and_a_longer_one_refused(control: Control, settings: Settings, path: str) -> None:
    assert settings.state.is_dir()
    ask, read = control.client.get, control.read
    for query in ("window=99999d", "window=99999d&until=1970-01-01"):
        found = ask(f"/models/rent/{path}?{query}", headers=read)
        assert found.status_code == 200, found.text
    refused = ask(f"/models/rent/{path}?window=999999d", headers=read)
    assert (refused.status_code, "at most 99999d" in refused.text) == (422, True)


BEYOND = 10**20


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", f"/alerts/{BEYOND}", None), ("POST", f"/alerts/{BEYOND}/acknowledge", None),
        ("POST", f"/alerts/{BEYOND}/snooze", {"span": "8h"}), ("POST", f"/alert-deliveries/{BEYOND}/retry", None),
        ("POST", "/models/rent/deploy", {"version": BEYOND}), ("GET", f"/models/rent/drift?version={BEYOND}", None),
        ("GET", f"/models/rent/quality?version={BEYOND}", None), ("GET", f"/models/rent/card?version={BEYOND}", None),
        ("GET", "/models/rent/card?version=0", None), ("GET", "/models/rent/card.html?version=0", None),
    ],
)  # fmt: skip
def test_a_number_that_nothing_has_is_not_found(
    control: Control, settings: Settings, method: str, path: str, body: dict[str, object] | None
) -> None:
    assert settings.state.is_dir()
    answer = control.client.request(method, path, json=body, headers=control.admin)
    assert answer.status_code == 404, answer.text
    assert answer.json()["type"] != "NotFoundException"  # no route would be no answer


@pytest.mark.parametrize("name", ["price/kg", "/kg", "kg/", "a//b", "50%2F", "a b", "größe/m²", "drift/x"])
def test_a_column_is_found_by_whatever_name_it_has(control: Control, settings: Settings, name: str) -> None:
    read, url = control.read, f"/models/named/drift/{quote(name, safe='')}"
    named = FeatureSchema(
        model="named", version=1, task=Task.REGRESSION, target="count", columns=(Column(name=name, kind=Kind.NUMBER),)
    )
    publish(settings, named, training_frame().with_columns(pl.col("temp").alias(name)))
    found = control.client.get(url, headers=read)
    assert (found.status_code, found.json().get("column", {}).get("name")) == (200, name), found.text
    by = control.client.get(url.replace("/drift/", "/quality/by/"), headers=read)
    assert (by.status_code, by.json().get("column")) == (200, name), by.text


def test_a_window_that_nobody_said_is_the_models_own(control: Control, settings: Settings) -> None:
    ask, read = control.client.get, control.read
    for path in ("drift", "drift/temp", "data-quality"):
        a_day = ask(f"/models/rent/{path}?window=24h", headers=read).json()["window"]
        assert ask(f"/models/rent/{path}", headers=read).json()["window"] == a_day
    settings.layout.specs.mkdir(exist_ok=True)
    (settings.layout.specs / "rent.toml").write_text('name = "rent"\ndataset = "rent"\ntarget = "y"\nwindow = "7d"\n')
    for path in ("drift", "drift/temp", "data-quality"):
        a_week = ask(f"/models/rent/{path}?window=7d", headers=read).json()["window"]
        assert ask(f"/models/rent/{path}", headers=read).json()["window"] == a_week
        ends = ask(f"/models/rent/{path}?until=2026-03-20", headers=read).json()["window"]
        assert ends == {"from": "2026-03-13T00:00:00Z", "to": "2026-03-20T00:00:00Z"}
    assert ask("/models/%00/drift", headers=read).status_code == 404


def test_a_span_without_traffic_has_none(control: Control, settings: Settings) -> None:
    assert settings.state.is_dir()
    ask, read = control.client.get, control.read
    assert ask("/models/rent/drift?window=1d&until=2026-03-03", headers=read).json()["rows"]["current"] == 200
    empty = ask("/models/rent/drift?window=1d&until=2026-03-02", headers=read).json()
    assert (empty["rows"]["current"], empty["dataset"]["state"]) == (0, "not_enough_data")
    assert ask("/models/rent/latency?window=1d&until=2026-03-02", headers=read).json()["count"] == 0
    assert ask("/models/rent/data-quality?window=1d&until=2026-03-02", headers=read).json()["rows"] == 0


def test_a_model_that_was_never_deployed_has_no_proof(control: Control, settings: Settings) -> None:
    assert settings.state.is_dir()
    assert control.client.get("/models/rent/skew", headers=control.read).json() == []


def test_the_history_of_a_label(control: Control, settings: Settings) -> None:
    traffic = Traffic(settings, serial=7)
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US)
    for at, label in enumerate((1.0, 2.0, 3.0), 1):
        traffic.label(f"{token}.0", label, label_us=START_US + at, at_us=START_US + at)
    traffic.close()
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)
    found = control.client.get(f"/labels/{token}.0", headers=control.read).json()
    assert [one["label"] for one in found["revisions"]] == ["1.0", "2.0", "3.0"]
    assert (found["label"], found["predicted_at"]) == ("3.0", "2026-03-02T00:00:00Z")
    assert control.client.get("/labels/nothing.0", headers=control.read).status_code == 404


def test_one_alert_says_what_to_do(control: Control, settings: Settings) -> None:
    assert settings.state.is_dir()
    found = control.client.get("/alerts/1", headers=control.read).json()
    assert (found["subject"], found["judged"], found["deliveries"]) == ("data_quality", None, [])
    assert "Data quality" in found["advice"]
    missing = control.client.get("/alerts/77", headers=control.read)
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


@pytest.mark.parametrize("path", ["/models/rent/data-quality", "/models/rent/skew", "/alerts/1", "/labels/a.0"])
def test_nothing_is_told_without_a_key(control: Control, path: str) -> None:
    assert control.client.get(path).status_code == 401
