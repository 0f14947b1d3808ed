"""A night on a model that training made: sampled from the log and from its history, written once, alerts after two."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import msgspec
import polars as pl
import pytest

from appliance.compaction import compact
from appliance.datasets import Datasets
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.spans import Span, State
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Task
from appliance.settings import Settings
from appliance.studies.nightly import HEARTBEAT, study_all
from appliance.studies.rows import MOST_ROWS, sample_answers
from appliance.training.bundle import reference_file
from appliance.training.train import TrainedModel
from storage import statedb
from storage.bundles import Manifest, publish_bundle
from storage.window_rows import find_heartbeat
from tests.monitoring.test_trained_model import ROWS, adult, serve, trained
from tests.monitoring.traffic import HOUR_US, START_US, make_settings

__all__ = ["adult", "trained"]

DAY_H = 24


@pytest.fixture
def watched(tmp_path: Path, trained: TrainedModel, adult: pl.DataFrame) -> Settings:
    made = make_settings(tmp_path)
    path = made.layout.tmp / "adult.parquet"
    adult[ROWS:].write_parquet(path)
    version = Datasets(made).add("adult", str(path), who="ada").version
    manifest = Manifest(
        model="income", version=1, task=Task.BINARY, created_at="2026-03-01T00:00:00Z", run_id="r", dataset="adult",
        dataset_version=version, code_version="0", files={},
    )  # fmt: skip
    files = {
        "schema.json": msgspec.json.encode(trained.schema), "reference.json": reference_file(trained),
        "model.txt": trained.fitted.text.encode(),
    }  # fmt: skip
    publish_bundle(made.layout, manifest, files)
    return made


def replay(settings: Settings, trained: TrainedModel, days: list[pl.DataFrame], *, first: int = 0) -> None:
    """A request a day; the last day's comes an hour later, so that the day can be played again."""
    for number, rows in enumerate(days):
        late = number > 0 and number == len(days) - 1
        serve(settings, trained, rows, (first + number) * DAY_H + late)
    with closing(Watch(settings.layout)) as watch:
        watch_once(watch)


def test_a_night_finds_what_moved_and_does_not_repeat_itself(
    watched: Settings, trained: TrainedModel, adult: pl.DataFrame
) -> None:
    assert study_all(watched) == 0
    calm, rest = adult[:1_500], adult[1_500:3_000]
    replay(watched, trained, [calm, rest[:10]])
    assert study_all(watched) == 1
    found = {study.kind: study for study in Monitoring(watched).studies("income")}
    assert {kind: study.state for kind, study in found.items()} == dict.fromkeys(
        ("attribution", "domain", "reconstruction"), State.OK
    )
    assert study_all(watched) == 0, "the day was studied"
    moved = rest.with_columns(pl.col("age") + 25, pl.lit(0).alias("education_num"))
    for first in (1, 2):
        replay(watched, trained, [moved, rest[:10]], first=first)
        assert study_all(watched) == 1
    found = {study.kind: study for study in Monitoring(watched).studies("income")}
    assert found["domain"].state is State.WARN
    assert "can be told from training rows" in found["domain"].sentence
    assert found["reconstruction"].state is State.WARN
    assert found["domain"].to_json()["day"] == "2026-03-04"
    assert [alert.subject for alert in Monitoring(watched).alerts() if alert.subject == "domain"] == ["domain"]
    with closing(statedb.connect(watched.layout.database)) as db:
        assert find_heartbeat(db, HEARTBEAT) is not None


def test_answers_are_sampled_from_the_log_and_from_its_history_alike(
    watched: Settings, trained: TrainedModel, adult: pl.DataFrame
) -> None:
    replay(watched, trained, [adult[:600], adult[600:1_200]])
    known = KnownVersions(watched.layout).find("income", 1)
    assert known is not None
    columns = len(known.schema.columns)
    first = START_US // HOUR_US
    span = Span(model="income", version=1, first_hour=first, last_hour=first + 2 * DAY_H)
    log = sample_answers(watched.layout, span, rows=1_200, columns=columns)
    assert log.shape == (1_200, columns)
    one_day = Span(model="income", version=1, first_hour=first, last_hour=first + DAY_H)
    assert len(sample_answers(watched.layout, one_day, rows=600, columns=columns)) == 600
    assert compact(watched).segments > 0
    history = sample_answers(watched.layout, span, rows=1_200, columns=columns)
    assert sorted(map(str, history.tolist())) == sorted(map(str, log.tolist()))
    other = Span(model="income", version=2, first_hour=first, last_hour=first + DAY_H)
    assert sample_answers(watched.layout, other, rows=600, columns=columns).shape == (0, columns)


def test_large_requests_are_cut_to_the_sample(watched: Settings, trained: TrainedModel, adult: pl.DataFrame) -> None:
    replay(watched, trained, [adult[: MOST_ROWS + 2_000]])
    first = START_US // HOUR_US
    span = Span(model="income", version=1, first_hour=first, last_hour=first + 1)
    assert len(sample_answers(watched.layout, span, rows=5_000, columns=len(trained.schema.columns))) == MOST_ROWS


def test_a_model_that_cannot_be_studied_does_not_hinder_the_others(
    watched: Settings, trained: TrainedModel, adult: pl.DataFrame, caplog: pytest.LogCaptureFixture
) -> None:
    replay(watched, trained, [adult[:300], adult[300:310]])
    (watched.layout.models / "income" / "1" / "model.txt").write_text("torn")
    assert study_all(watched) == 0
    assert "income" in caplog.text
    assert Monitoring(watched).studies("income") == ()


def test_the_process_of_its_own(watched: Settings, trained: TrainedModel, adult: pl.DataFrame) -> None:
    replay(watched, trained, [adult[:300], adult[300:310]])
    done = subprocess.run(
        [sys.executable, "-m", "appliance.studies.nightly"], check=True, capture_output=True, text=True,
        env={**os.environ, "APPLIANCE_STATE": str(watched.state)}, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert "studied 1 models" in done.stderr
    figures = Monitoring(watched).studies("income")[0].to_json()
    assert json.loads(json.dumps(figures)) == figures
