"""appliance data-quality, skew and alerts show: what an operator reads in the night, as text and as JSON."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.model_spec import ModelSpec, dump_spec
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Task
from appliance.serving.counts import Counts
from appliance.settings import Settings
from storage.alert_rows import NewAlert, open_alert
from storage.model_rows import ModelRow, put_model
from storage.statedb import connect, transaction
from tests.cli.shell import Shell
from tests.monitoring.test_load import let_run
from tests.monitoring.traffic import START, START_US, Traffic, encoded_rows, publish, regression_schema, training_frame
from tests.processes.test_procfs import PARENT, tree


@pytest.fixture
def watched(shell: Shell) -> Shell:
    """A version with traffic, a quarter of which has a season nobody knows, and an alert."""
    settings = Settings(state=shell.state)
    publish(settings, regression_schema(), training_frame())
    traffic = Traffic(settings)
    rows = encoded_rows(np.random.default_rng(0), 200)
    rows[:50, 1] = -1.0
    traffic.predict(rows, event_us=START_US)
    traffic.close()
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)
    with closing(connect(settings.layout.database)) as db, transaction(db):
        new = NewAlert(model="rent", subject="skew", state="alarm", message="Answers differ.", opened_at=START)
        open_alert(db, new)
    return shell


def test_data_quality_is_told_by_column(watched: Shell) -> None:
    text = watched.ok("data-quality", "rent", "--window", "24h").out
    assert "rent version 1" in text
    assert "0.0% -> 25.0%" in text
    assert "200 rows, 0.0% of them repeated; 0 requests refused for a column" in text
    told = watched.ok("data-quality", "rent", "--window", "24h", "--json").json()
    assert (told["state"], told["rows"], told["unknown"]) == ("alarm", 200, [])


def test_what_is_not_known_yet_is_a_dash(watched: Shell) -> None:
    lines = watched.ok("quality", "rent").out.splitlines()
    (now,) = (line.split() for line in lines if line.strip().startswith("now"))
    assert now == ["now", "-"]


def test_every_verb_takes_a_span_that_is_over(watched: Shell, tmp_path: Path) -> None:
    past = ("--window", "1d", "--until", "2026-03-02"), ("--window", "2026-03-01/2026-03-02")
    for span in past:
        assert watched.ok("drift", "rent", *span, "--json").json()["rows"]["current"] == 0
        assert watched.ok("data-quality", "rent", *span, "--json").json()["rows"] == 0
        assert watched.ok("quality", "rent", *span, "--json").json()["predicted"] == 0
        assert watched.ok("latency", "rent", *span, "--json").json()["count"] == 0
        assert ": 0 predictions" in watched.ok("export", "rent", "--out", str(tmp_path / "e.parquet"), *span).out
    now = ("--window", "1d", "--until", "2026-03-03T01:00+01:00")
    assert watched.ok("drift", "rent", *now, "--json").json()["rows"]["current"] == 200
    assert watched.ok("quality", "rent", *now, "--json").json()["predicted"] == 200
    assert ": 200 predictions" in watched.ok("export", "rent", "--out", str(tmp_path / "e.parquet"), *now).out
    found = watched.run("drift", "rent", "--window", "1d", "--until", "soon")
    assert (found.code, "time 'soon': accepted: ISO 8601" in found.err) == (1, True)


def test_what_was_said_of_a_prediction_and_how_long_it_took(watched: Shell) -> None:
    settings = Settings(state=watched.state)
    traffic = Traffic(settings, serial=7)
    token = traffic.predict(encoded_rows(np.random.default_rng(0), 1), event_us=START_US, outputs=[40.0])
    for label, hours in ((41.0, 5), (42.5, 29)):
        traffic.label(f"{token}.0", label, label_us=START_US + 3_600_000_000 * hours, at_us=START_US + hours)
    traffic.close()
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)
    found = watched.ok("label-history", f"{token}.0", "--json").json()
    assert (found["model"], found["version"], found["role"], found["output"]) == ("rent", 1, "champion", [40.0])
    assert (found["label"], [one["label"] for one in found["revisions"]]) == ("42.5", ["41.0", "42.5"])
    assert found["revisions"][0]["known_at"] == "2026-03-02T05:00:00Z"
    text = watched.ok("label-history", f"{token}.0").out
    assert "rent version 1 as champion, 2026-03-02 00:00:00Z, answered 40" in text
    assert text.index("41.0") < text.index("42.5")
    assert "half the labels within 29 h, 19 of 20 within 29 h" in watched.ok("quality", "rent").out
    missing = watched.run("label-history", "nothing.0")
    assert (missing.code, "no label of a prediction 'nothing.0'" in missing.err) == (1, True)


def test_a_report_of_a_span_that_is_over_holds_nothing_newer(watched: Shell, tmp_path: Path) -> None:
    out = tmp_path / "r.json"

    def made(*span: str) -> dict[str, Any]:
        watched.ok("report", "rent", "--out", str(out), *span)
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    newest = made("--window", "1d")
    assert (newest["drift"]["rows"]["current"], newest["latency"]["count"], len(newest["alerts"])) == (200, 1, 1)
    same = made("--window", "2026-03-02/2026-03-03")
    assert (same["window"], len(same["alerts"])) == ({"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}, 1)
    before = made("--window", "1d", "--until", "2026-03-01")
    assert (before["drift"]["rows"]["current"], before["latency"]["count"], before["alerts"]) == (0, 0, [])
    assert before["traffic"]["points"] == before["quality_series"]["points"] == []


def test_an_alert_says_what_to_do_and_where_its_page_is(watched: Shell) -> None:
    text = watched.ok("alerts", "show", "1").out
    assert "alert 1: alarm, rent, training against serving; open" in text
    assert "appliance rollback rent" in text
    assert "/alerts/1" in text
    assert watched.ok("alerts", "show", "1", "--json").json()["subject"] == "skew"


def test_the_load_is_told_over_two_seconds(watched: Shell) -> None:
    settings = Settings(state=watched.state)
    spec = ModelSpec(name="rent", dataset="flats", target="rent", task=Task.REGRESSION)
    settings.layout.specs.mkdir(exist_ok=True)
    (settings.layout.specs / "rent.toml").write_text(dump_spec(spec))
    row = ModelRow(name="rent", task="regression", dataset="flats", target="rent", created_at=START, updated_at=START)
    with closing(connect(settings.layout.database)) as db, transaction(db):
        put_model(db, row)
    counts = Counts(settings.layout.run / "api-counts", 0)
    counts.series("", 0).note_room(512)
    counts.series("", 0).note_in_flight(500)
    counts.series("rent", 1).queue(3)
    with tree(PARENT) as process:
        let_run(settings, process.pid, "api")
        text = watched.ok("load", "rent").out
        told = watched.ok("load", "rent", "--json").json()
    assert "500 of at most 512; 1 of 1 workers busy" in text
    assert "3 of at most 64; 3 for rent" in text
    assert told["api"]["requests"] == {"used": 500, "limit": 512, "state": "warn"}
    assert told["lag"]["bytes_behind"] == 0
    (api,) = [one for one in told["processes"] if one["process"]["name"] == "api"]
    assert 0 <= api["cpu_share"] < 1
    assert api["process"]["pss_mb"] > 1


def test_where_nothing_runs_the_load_says_so(watched: Shell) -> None:
    found = watched.ok("load")
    assert "the inference API does not run, or sleeps" in found.err
    assert "bytes of events behind" in found.out
    wrong = watched.run("load", "rend")
    assert wrong.code == 1
    assert "rend" in wrong.err
