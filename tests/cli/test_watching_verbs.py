"""appliance data-quality, skew and alerts show: what an operator reads in the night, as text and as JSON."""

from __future__ import annotations

from contextlib import closing

import numpy as np
import pytest

from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.alert_rows import NewAlert, open_alert
from storage.statedb import connect, transaction
from tests.cli.shell import Shell
from tests.monitoring.traffic import START, START_US, Traffic, encoded_rows, publish, regression_schema, training_frame


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


def test_an_alert_says_what_to_do_and_where_its_page_is(watched: Shell) -> None:
    text = watched.ok("alerts", "show", "1").out
    assert "alert 1: alarm, rent, training against serving; open" in text
    assert "appliance rollback rent" in text
    assert "/alerts/1" in text
    assert watched.ok("alerts", "show", "1", "--json").json()["subject"] == "skew"
