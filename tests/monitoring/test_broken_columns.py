"""One broken column says what is wrong with it and hides no other: windows, verdicts, data quality, studies, report."""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from appliance.errors import BadTable
from appliance.events import PredictionEvent
from appliance.house import prepare_state
from appliance.model_spec import ModelSpec
from appliance.monitoring.compare import compare_frames
from appliance.monitoring.data_quality_report import Oddity
from appliance.monitoring.drift import TOO_LARGE
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.reference import dump_reference, fit_reference
from appliance.monitoring.report import make_report
from appliance.monitoring.spans import Span, State
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from appliance.studies.multivariate import Domain
from appliance.studies.nightly import study
from appliance.studies.rows import Samples, sample_answers
from appliance.training.encode import encode_frame
from appliance.training.train import TrainedModel, train
from storage.bundles import Manifest, publish_bundle
from tests.model_bundles import deploy
from tests.monitoring.test_skew import publish
from tests.monitoring.test_trained_model import Silent
from tests.monitoring.traffic import HOUR_US, START, START_US, Traffic, make_settings, token_at
from tests.served_api import ServedApi, serve_api

GOOD = ("age", "workclass", "education", "sex")
MOVED = "hours_per_week"
"""By fifteen hours, each day: a verdict that no broken column may hide."""
ROWS = 400
A_DAY = 5
"""Requests of as many rows each."""

Broken = Callable[[int], object]


def ordinary(row: int) -> float:
    return float(np.random.default_rng(row).normal(0.0, 4.0))


WAYS: dict[str, tuple[str, Broken]] = {
    "null": ("meter", lambda _: None),
    "one value": ("meter", lambda _: 3.0),
    "too large": ("meter", lambda row: 1.7e308 if row % 3 else -1.7e308),
    "numbers as text": ("code", lambda row: str(row % 9)),
    "unseen": ("code", lambda row: f"never-{row}"),
    "text": ("meter", lambda row: "n/a" if row // (ROWS // A_DAY) == 1 else ordinary(row)),
}
"""Name to the column that breaks, and its value in each row; one a day."""


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    frame = pl.read_parquet(Path(__file__).parents[1] / "data/adult.parquet").select(*GOOD, MOVED, "income")
    frame = frame.drop_nulls().sample(4_000, shuffle=True, seed=5)
    rng = np.random.default_rng(5)
    return frame.with_columns(
        meter=pl.Series(rng.normal(0.0, 4.0, frame.height)),
        code=pl.Series(rng.choice(["red", "green", "blue"], frame.height)),
    )


@pytest.fixture(scope="module")
def trained(adult: pl.DataFrame) -> TrainedModel:
    spec = ModelSpec(name="income", dataset="adult", target="income", rounds=20, params={"num_leaves": 7})
    return train(spec, adult[ROWS:], incumbent=None, threads=lambda: 1, progress=Silent())


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A served model that was asked a day in each broken way."""

    settings: Settings
    api: ServedApi

    def until(self, way: str) -> datetime:
        return START + timedelta(days=list(WAYS).index(way) + 1)


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, trained: TrainedModel, adult: pl.DataFrame
) -> Iterator[World]:  # fmt: skip
    settings = Settings(state=tmp_path_factory.mktemp("broken") / "state")
    prepare_state(settings)
    publish(settings, trained)
    deploy(settings.layout, {"income": 1})
    rows = adult[:ROWS].drop("income").to_dicts()
    refused = 0
    with serve_api(settings.layout) as api:
        api.wait_until_serving("income", 1)
        for day, (column, broken) in enumerate(WAYS.values()):
            sent = [{**row, MOVED: row[MOVED] + 15, column: broken(number)} for number, row in enumerate(rows)]
            for part in range(A_DAY):
                size = ROWS // A_DAY
                moment = START + timedelta(days=day, hours=part)
                body = {"rows": sent[part * size : (part + 1) * size], "time": moment.isoformat()}
                answer = api.client.post("/models/income/predict", json=body)
                refused += answer.status_code == 422
                assert answer.status_code in {200, 422}, answer.text
        assert refused == 1
        api.stop()  # its last act is to log what it refused
        with closing(Watch(settings.layout, chunk_bytes=40_000)) as watch:
            assert watch_once(watch).faults == 0
        yield World(settings=settings, api=api)


def test_a_window_gives_every_other_columns_verdict_and_names_the_broken_one(world: World) -> None:
    monitoring = Monitoring(world.settings)
    for way, (broken, _) in WAYS.items():
        report = monitoring.drift("income", until=world.until(way))
        json.dumps(report.to_json(), allow_nan=False)
        states = {column.name: column.state for column in report.columns}
        drifted = {MOVED} if way == "text" else {broken, MOVED}  # what was refused is no row
        assert set(report.dataset.drifted) == drifted, way
        assert {name for name, state in states.items() if state is State.OK} == set(states) - drifted, way
        assert {states[name] for name in drifted} == {State.ALARM}, way
        for column in (broken, *GOOD):
            json.dumps(monitoring.drift_detail("income", column, until=world.until(way)).to_json(), allow_nan=False)
    told = {
        way: next(one for one in monitoring.drift("income", until=world.until(way)).columns if one.name == broken)
        for way, (broken, _) in WAYS.items()
    }
    assert told["null"].null_share.current == 1.0
    assert told["too large"].faults == (TOO_LARGE,)
    assert told["too large"].told.endswith(f"T{TOO_LARGE[1:]}.")
    assert "categories the reference lacks rose from 0 % to 100 %" in told["numbers as text"].sentence
    assert told["unseen"].unseen_share == 1.0


def test_days_that_hold_all_of_it_together_are_read_too(world: World) -> None:
    report = Monitoring(world.settings).drift("income", 30 * 86_400)
    assert report.rows.current == len(WAYS) * ROWS - ROWS // A_DAY
    assert {column.name for column in report.columns if column.state is State.OK} == set(GOOD)
    previous = Monitoring(world.settings).drift("income", until=world.until("numbers as text"), against="previous")
    json.dumps(previous.to_json(), allow_nan=False)
    assert [column.state for column in previous.columns if column.name in GOOD] == [State.OK] * len(GOOD)


def test_data_quality_says_what_is_wrong_with_the_broken_column_alone(world: World) -> None:
    monitoring = Monitoring(world.settings)
    oddity = {
        "null": Oddity.MISSING, "too large": Oddity.OUTSIDE, "numbers as text": Oddity.UNSEEN, "unseen": Oddity.UNSEEN,
    }  # fmt: skip
    for way, odd in oddity.items():
        found = monitoring.data_quality("income", until=world.until(way))
        json.dumps(found.to_json(), allow_nan=False)
        broken = WAYS[way][0]
        assert {one.name for one in found.columns if one.state is not State.OK} == {broken}, way
        column = next(one for one in found.columns if one.name == broken)
        assert column.shares[odd].share.current == 1.0, way
    refused = monitoring.data_quality("income")
    meter = next(one for one in refused.columns if one.name == "meter")
    assert meter.shares[Oddity.REFUSED].count == 1
    assert all(one.shares[Oddity.REFUSED].count == 0 for one in refused.columns if one.name != "meter")


def test_the_report_of_each_day_is_whole(world: World) -> None:
    for days in (1, 30):
        report = make_report(Monitoring(world.settings), "income", days * 86_400)
        page = report.to_html()
        json.dumps(report.to_json(), allow_nan=False)
        assert all(f"<td>{name}</td>" in page for name in (*GOOD, MOVED, "meter", "code", "prediction"))
    assert TOO_LARGE[1:] in page


def test_columns_together_are_studied_without_the_broken_one(
    world: World, trained: TrainedModel, adult: pl.DataFrame
) -> None:
    known = KnownVersions(world.settings.layout).find("income", 1)
    assert known is not None
    reference = encode_frame(adult[ROWS:], trained.schema).to_numpy()
    for way, (broken, _) in WAYS.items():
        day = list(WAYS).index(way) * 24 + START_US // HOUR_US
        span = Span(model="income", version=1, first_hour=day, last_hour=day + 24)
        rows = sample_answers(world.settings.layout, span, rows=ROWS, columns=len(known.schema.columns))
        samples = Samples(reference=reference, current=rows)
        findings = {one.kind: one for one in study(known, samples, trained.fitted.text)}
        domain, pca = findings["domain"], findings["reconstruction"]
        assert findings["attribution"].result is not None, way
        assert isinstance(domain.result, Domain)
        assert domain.verdict.state is State.WARN, way
        assert max(domain.result.columns.items(), key=lambda one: one[1])[0] == MOVED, way
        left_out = way != "text"
        for one in (domain, pca):
            assert (f"Left out: `{broken}`: it has" in one.verdict.sentence) is left_out, (way, one.verdict.sentence)
        json.dumps(msgspec.to_builtins([domain.result, pca.result]), allow_nan=False)


Values = Callable[[int], npt.NDArray[np.float64]]


def steady(rows: int) -> npt.NDArray[np.float64]:
    return np.random.default_rng(7).normal(20.0, 5.0, rows)


def large(rows: int) -> npt.NDArray[np.float64]:
    return np.where(np.arange(rows) % 2, 1.7e308, -1.7e308)


@pytest.mark.parametrize(
    ("before", "after", "state"),
    [
        (lambda n: np.full(n, np.nan), steady, State.ALARM),
        (np.ones, steady, State.ALARM),
        (lambda n: np.full(n, np.inf), steady, State.ALARM),
        (large, steady, State.ALARM),
        (large, large, State.OK),
        (lambda n: steady(n) * 5e306, lambda n: steady(n) * 5e306, State.OK),
        (steady, lambda n: np.full(n, np.inf), State.ALARM),
        (steady, lambda n: np.full(n, -np.inf), State.ALARM),
    ],
)
def test_a_column_that_was_broken_in_training_or_in_the_log_itself(
    tmp_path: Path, before: Values, after: Values, state: State
) -> None:
    settings, rng = make_settings(tmp_path), np.random.default_rng(0)
    columns = (Column(name="good", kind=Kind.NUMBER), Column(name="broken", kind=Kind.NUMBER))
    schema = FeatureSchema(model="rent", version=1, task=Task.REGRESSION, target="y", columns=columns)
    good = rng.normal(size=1_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reference = fit_reference(
            pl.DataFrame({"good": good, "broken": before(1_000)}), schema, outputs=good, labels=pl.Series(good),
            quality={"rmse": 1.0},
        )  # fmt: skip
    manifest = Manifest(
        model="rent", version=1, task="regression", created_at="2026-03-01T00:00:00Z", run_id="r", dataset="d",
        dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    files = {"schema.json": msgspec.json.encode(schema), "reference.json": dump_reference(reference)}
    publish_bundle(settings.layout, manifest, files)
    traffic = Traffic(settings)
    with closing(Watch(settings.layout)) as watch:
        for look in range(2):
            rows = np.column_stack([rng.normal(size=300), after(300)])
            packed = base64.b64encode(rows.astype("<f8").tobytes()).decode()
            at = START_US + look * 60_000_000  # the same hour, so that the second is added to the first
            event = PredictionEvent(
                id=token_at(at, look), t=at, at=at, m="rent", v=1, n=300, x=packed, y=rows[:, 0].tolist(), us=1
            )
            traffic.write("predictions", msgspec.json.encode(event))
            assert watch_once(watch).predictions == 300
    traffic.close()
    monitoring = Monitoring(settings)
    report = monitoring.drift("rent")
    assert [(column.state, column.rows.current) for column in report.columns] == [(State.OK, 600), (state, 600)]
    json.dumps(report.to_json(), allow_nan=False)
    json.dumps(monitoring.drift_detail("rent", "broken").to_json(), allow_nan=False)
    json.dumps(monitoring.data_quality("rent").to_json(), allow_nan=False)
    assert "good" in make_report(monitoring, "rent", 86_400).to_html()


FAR = 4 * 10**15
"""Milliseconds since 1970 in the year 128,723: more microseconds than 64 bits hold are not far."""


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (pl.Series([None] * 300), pl.Series(steady(300)), "the reference lacks"),
        (pl.Series(large(300)), pl.Series(large(300)), "has not moved"),
        (pl.Series(steady(300)), pl.Series([float("inf")] * 300), "The current table has 300 infinite values"),
        (pl.Series(steady(300)), pl.Series(["n/a"] * 300), "300 values of another type"),
        (pl.Series(["a", "b"] * 150), pl.Series(list(range(300))), "The reference has String, the current table Int64"),
        (pl.Series(["a", "b"] * 150), pl.Series([f"x{i}" for i in range(300)]), "categories the reference lacks"),
        (
            pl.Series([FAR * 1_000] * 300).cast(pl.Datetime("ms")), pl.Series([0] * 300).cast(pl.Datetime("ms")),
            "the share of 4e+15 s since 1970 fell",
        ),
        (pl.Series([b"x"] * 300), pl.Series([b"x"] * 300), "cannot be compared"),
        (pl.Series([{"a": 1}] * 300), pl.Series([[1]] * 300), "cannot be compared"),
    ],
)  # fmt: skip
def test_two_tables_with_a_broken_column(before: pl.Series, after: pl.Series, said: str) -> None:
    rng = np.random.default_rng(3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = compare_frames(
            pl.DataFrame({"good": rng.normal(size=300), "broken": before, "moved": rng.normal(size=300)}),
            pl.DataFrame({"good": rng.normal(size=300), "broken": after, "moved": rng.normal(3.0, size=300)}),
        )
    good, broken, moved = report.columns
    assert (good.state, moved.state) == (State.OK, State.ALARM)
    assert said in broken.told
    json.dumps(report.to_json(), allow_nan=False)


def test_a_moment_encodes_as_before_in_every_unit() -> None:
    schema = FeatureSchema(
        model="m", version=1, task=Task.REGRESSION, target="y", columns=(Column(name="at", kind=Kind.DATETIME),)
    )
    moments = [
        datetime(1969, 12, 31, 23, 59, 59, 999_000, tzinfo=UTC), datetime(2026, 3, 2, 1, 2, 3, 4_000, tzinfo=UTC), None,
    ]  # fmt: skip
    for unit in ("ms", "us", "ns"):
        for zone in (None, "UTC", "Europe/Berlin"):
            at = pl.Series("at", moments).dt.cast_time_unit(unit)
            at = at.dt.convert_time_zone(zone) if zone else at.dt.replace_time_zone(None)
            encoded = encode_frame(at.to_frame(), schema).to_series()
            assert encoded.to_list()[:2] == [-0.001, 1772413323.004], (unit, zone)
            assert np.isnan(encoded[2])
    days = pl.Series("at", [moment and moment.date() for moment in moments])
    assert encode_frame(days.to_frame(), schema).to_series().to_list()[:2] == [-86_400.0, 1772409600.0]
    with pytest.raises(BadTable):
        encode_frame(pl.DataFrame({"at": [1, 2]}), schema)
