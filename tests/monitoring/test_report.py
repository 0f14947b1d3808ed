"""The report is one page that needs nothing else and holds no row; the export is a Parquet file that DuckDB reads."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pytest

from appliance.compaction import compact
from appliance.errors import BadInput, NotFound
from appliance.monitoring.export import export_events
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.report import make_report
from appliance.monitoring.report_svg import lines_svg
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from tests.monitoring.test_estimates import publish_loans, replay_loans
from tests.monitoring.traffic import (
    DAY_US,
    HOUR_US,
    START,
    START_US,
    Traffic,
    encoded_rows,
    make_settings,
    publish,
)

DAY_S = 86_400


class Page(HTMLParser):
    """Tags that never close aside, every tag closes; nothing is loaded from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag != "script"
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href"}]
        if tag not in {"meta"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def check(html: str) -> None:
    page = Page()
    page.feed(html)
    assert page.open == []
    assert page.addresses == []
    assert "http" not in html
    assert len(html.encode()) < 1_000_000
    assert not re.search(r"\bnan\b|\binf\b|None", html)


def test_a_labelled_model_with_an_estimate(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    publish_loans(settings)
    replay_loans(settings, days=6, labelled=4)
    with_watch(settings)
    made = make_report(Monitoring(settings), "m", 7 * DAY_S)
    html = made.to_html()
    check(html)
    assert html.count("<svg") == len(made.pictures) + 2
    assert "estimate" in html
    assert "The estimate was off by so much on average on 4 labelled days." in html
    assert made.quality.estimate is not None
    assert f"<td>{made.quality.estimate.past_error['auc']:.4g}</td>" in html
    assert "Half the labels came within 0 s, 19 of 20 within 0 s." in html
    document = made.to_json()
    assert json.loads(json.dumps(document)) == document
    assert document["quality"]["labelled"] == 4_000  # type: ignore[index]
    assert "1970" not in html


def test_labels_that_took_a_while_and_an_estimate_without_a_past(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    publish_loans(settings)
    replay_loans(settings, days=1, labelled=0)
    with_watch(settings)
    html = make_report(Monitoring(settings), "m", DAY_S).to_html()
    assert "How far off the estimate is, is not known: no labelled days yet." in html
    assert "the labels came within" not in html
    (segment,) = (settings.layout.events / "predictions").glob("*.ndjson")
    token = json.loads(segment.read_bytes())["id"]
    late = Traffic(settings, model="m")
    for at in range(100):
        late.label(f"{token}.{at}", "1", label_us=START_US + HOUR_US + (10 + at) * HOUR_US)
    late.close()
    with_watch(settings)
    assert (
        "Half the labels came within 2.48 d, 19 of 20 within 4.34 d."
        in make_report(Monitoring(settings), "m", DAY_S).to_html()
    )


def with_watch(settings: Settings) -> None:
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()


def test_drift_alerts_and_traffic_are_in_it(settings: Settings, traffic: Traffic) -> None:
    rng = np.random.default_rng(0)
    for day in range(5):
        traffic.predict(encoded_rows(rng, 300, shift=9.0), event_us=START_US + day * DAY_US)
    with_watch(settings)
    made = make_report(Monitoring(settings), "rent", 7 * DAY_S)
    check(made.to_html())
    assert "1 of 3 columns moved" in made.to_html()
    assert [alert.subject for alert in made.alerts]
    assert "temp moved" in made.to_html()


def test_a_model_without_any_traffic_has_a_report(settings: Settings) -> None:
    from contextlib import closing

    from storage import statedb

    with closing(statedb.connect(settings.layout.database)) as db:
        db.execute(
            "INSERT INTO models VALUES ('rent', 'regression', 'd', 'count', '2026-01-01T00:00:00+00:00', "
            "'2026-01-01T00:00:00+00:00')"
        )
    check(make_report(Monitoring(settings), "rent", DAY_S).to_html())
    with pytest.raises(NotFound):
        make_report(Monitoring(settings), "nothing", DAY_S)


def test_a_wide_model_with_hostile_names_stays_small_and_harmless(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    names = ["<script>alert(1)</script>", "\"&'", *(f"c{i}" for i in range(398))]
    schema = FeatureSchema(
        model="wide", version=1, task=Task.REGRESSION, target="y",
        columns=tuple(Column(name=name, kind=Kind.NUMBER) for name in names),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({name: rng.normal(size=300) for name in names})
    publish(settings, schema, frame.with_columns(pl.col("c0").alias("temp")))
    writing = Traffic(settings, model="wide")
    writing.predict(rng.normal(2, 1, (300, 400)), event_us=START_US)
    writing.close()
    with_watch(settings)
    made = make_report(Monitoring(settings), "wide", DAY_S)
    check(made.to_html())
    assert len(made.pictures) == 20
    assert "&lt;script&gt;" in made.to_html()


def test_three_thousand_columns_stay_below_a_megabyte_in_both_formats(tmp_path: Path) -> None:
    settings = make_settings(tmp_path)
    names = [f"a_column_of_many_with_a_name_{i}" for i in range(3_000)]
    schema = FeatureSchema(
        model="wide", version=1, task=Task.REGRESSION, target="y",
        columns=tuple(Column(name=name, kind=Kind.NUMBER) for name in names),
    )  # fmt: skip
    rng = np.random.default_rng(0)
    frame = pl.DataFrame({name: rng.normal(size=300) for name in names})
    publish(settings, schema, frame.with_columns(pl.col(names[0]).alias("temp")))
    writing = Traffic(settings, model="wide")
    moved = np.where(np.arange(3_000) >= 2_900, 3.0, 0.0)
    writing.predict(rng.normal(moved, 1, (300, 3_000)), event_us=START_US)
    writing.close()
    with_watch(settings)
    made = make_report(Monitoring(settings), "wide", DAY_S)
    check(made.to_html())
    assert "And 2,750 more" in made.to_html()
    document = json.loads(json.dumps(made.to_json()))
    assert len(json.dumps(document)) < 1_000_000
    for chapter in ("drift", "data_quality"):
        assert len(document[chapter]["columns"]) == 250
        assert document[chapter]["columns_left_out"] == 2_750
    assert {f"a_column_of_many_with_a_name_{i}" for i in range(2_900, 3_000)} <= {
        column["name"] for column in document["drift"]["columns"]
    }
    assert set(names[2_900:]) <= set(re.findall(r"a_column_of_many_with_a_name_\d+", made.to_html()))
    assert len(made.drift.columns) == 3_000


def test_nothing_to_draw_is_said() -> None:
    assert "Nothing to draw" in lines_svg([("a", [(START, None)])], level=1.0)
    assert "<svg" in lines_svg([("a", [(START, 1.0)])])


def test_events_become_a_parquet_file_that_duckdb_reads(settings: Settings, traffic: Traffic, tmp_path: Path) -> None:
    rows = encoded_rows(np.random.default_rng(0), 40)
    rows[0, 2] = np.nan
    token = traffic.predict(rows[:30], event_us=START_US)
    traffic.predict(rows[30:], event_us=START_US + 3 * DAY_US)
    traffic.label(f"{token}.7", 12.5, label_us=START_US, at_us=START_US)
    with_watch(settings)
    out = tmp_path / "events.parquet"
    span = (START, START.replace(day=START.day + 1))
    assert export_events(settings.layout, "rent", 1, span, out) == 30
    found = duckdb.read_parquet(str(out)).order("split_part(id, '.', 2)::int").pl()
    assert found["input.temp"].to_list() == rows[:30, 0].tolist()
    levels = ("fall", "spring", "summer", "winter")
    assert found["input.season"].to_list() == [levels[int(code)] for code in rows[:30, 1]]
    assert found["input.holiday"][0] is None
    assert found["label"].to_list() == [None] * 7 + ["12.5"] + [None] * 22
    assert found["event_time"].unique().to_list() == [START]
    traffic.close()
    assert compact(settings).segments > 0
    again = tmp_path / "again.parquet"
    assert export_events(settings.layout, "rent", 1, span, again) == 30
    assert pl.read_parquet(again).sort("id").equals(pl.read_parquet(out).sort("id"))


def test_an_export_that_cannot_be_written_leaves_nothing(settings: Settings, traffic: Traffic, tmp_path: Path) -> None:
    traffic.predict(encoded_rows(np.random.default_rng(0), 4), event_us=START_US)
    with_watch(settings)
    span = (START, START.replace(day=START.day + 1))
    with pytest.raises(BadInput, match="cannot write"):
        export_events(settings.layout, "rent", 1, span, tmp_path / "nowhere" / "events.parquet")
    with pytest.raises(BadInput, match="no readable bundle"):
        export_events(settings.layout, "rent", 9, span, tmp_path / "events.parquet")
    assert export_events(settings.layout, "rent", 1, (span[1], span[1]), tmp_path / "empty.parquet") == 0
    assert pl.read_parquet(tmp_path / "empty.parquet").height == 0
    assert [path.name for path in tmp_path.glob("*.half")] == []
