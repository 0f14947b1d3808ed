"""A protected column that is no input: judged on the holdout, sent beside the inputs, judged again once labels come."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import polars as pl
import pytest

from appliance.compaction import compact
from appliance.errors import BadTable, NotFound
from appliance.events import PredictionEvent
from appliance.history import find_predictions
from appliance.house import prepare_state
from appliance.model_spec import parse_spec
from appliance.monitoring.export import export_events
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.quality_report import SegmentReport
from appliance.monitoring.report import make_report
from appliance.monitoring.segments import Segment
from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Column, FeatureSchema, Kind
from appliance.settings import Settings
from appliance.training.decode import decode_row
from appliance.training.train import TrainedModel, train
from storage.layout import Layout
from tests.cli.shell import Shell
from tests.model_bundles import deploy
from tests.monitoring.test_skew import publish
from tests.monitoring.test_trained_model import Silent
from tests.served_api import ServedApi, serve_api

INPUTS = ("age", "workclass", "education", "hours_per_week", "occupation")
ROWS = 900
DECLARATION = """
name = "income"
dataset = "adult"
target = "income"
rounds = 30
exclude = ["sex", "race"]
protected = ["sex", "education"]

[params]
num_leaves = 7
"""


@pytest.fixture(scope="module")
def adult() -> pl.DataFrame:
    frame = pl.read_parquet(Path(__file__).parents[1] / "data/adult.parquet").select(*INPUTS, "sex", "race", "income")
    return frame.drop_nulls().sample(5_000, shuffle=True, seed=9)


@pytest.fixture(scope="module")
def trained(adult: pl.DataFrame) -> TrainedModel:
    spec = parse_spec(DECLARATION)
    return train(spec, adult[ROWS:], incumbent=None, threads=lambda: 1, progress=Silent())


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """A served model, what it was asked, and what it answered."""

    settings: Settings
    api: ServedApi
    ids: list[str]
    chosen: list[bool]
    rows: pl.DataFrame


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, trained: TrainedModel, adult: pl.DataFrame) -> Iterator[World]:
    settings = Settings(state=tmp_path_factory.mktemp("protected") / "state")
    prepare_state(settings)
    publish(settings, trained)
    deploy(settings.layout, {"income": 1})
    rows = adult[:ROWS]
    sent = rows.drop("race", "income").to_dicts()
    positive = trained.schema.classes[1]
    ids: list[str] = []
    chosen: list[bool] = []
    with serve_api(settings.layout) as api:
        api.wait_until_serving("income", 1)
        for start in range(0, ROWS, 100):
            answer = api.client.post("/models/income/predict", json={"rows": sent[start : start + 100]}).json()
            ids += [one["id"] for one in answer["predictions"]]
            chosen += [one["label"] == positive for one in answer["predictions"]]
            assert all(one["flags"] == [] for one in answer["predictions"])
        labels = [{"id": id_, "label": label} for id_, label in zip(ids, rows["income"], strict=True)]
        assert api.client.post("/models/income/labels", json={"labels": labels}).json()["accepted"] == ROWS
        look(settings)
        yield World(settings=settings, api=api, ids=ids, chosen=chosen, rows=rows)


def look(settings: Settings) -> None:
    with closing(Watch(settings.layout)) as watch:
        assert watch_once(watch).faults == 0


def by_name(report: SegmentReport) -> dict[str, Segment]:
    return {segment.name: segment for segment in report.segments}


def test_the_training_judges_it_on_the_holdout_and_never_learns_from_it(trained: TrainedModel) -> None:
    assert [column.name for column in trained.schema.columns] == list(INPUTS)
    assert [column.name for column in trained.schema.protected] == ["sex"]
    assert trained.evaluation is not None
    fairness = {one.column: one for one in trained.evaluation.fairness}
    assert set(fairness) == {"sex", "education"}
    assert {group.name for group in fairness["sex"].groups} == {"Female", "Male"}
    assert all(group.selected.low is not None for group in fairness["sex"].groups)
    assert sum(group.rows for group in fairness["sex"].groups) == len(trained.split.holdout)
    assert fairness["sex"].ratio is not None


def test_the_groups_are_judged_once_labels_come(world: World, trained: TrainedModel) -> None:
    report = Monitoring(world.settings).segments("income", "sex")
    assert (report.column, report.unknown) == ("sex", 0)
    truth = (world.rows["income"] == trained.schema.classes[1]).to_numpy()
    chosen, sex = np.array(world.chosen), world.rows["sex"].to_numpy()
    found = by_name(report)
    assert set(found) == {"Female", "Male"}
    for group in found.values():
        here = sex == group.name
        assert (group.rows, group.enough) == (int(here.sum()), True)
        for rate, among in (
            (group.selection, here),
            (group.true_positive, here & truth),
            (group.false_positive, here & ~truth),
        ):
            assert rate is not None
            assert rate.rows == int(among.sum())
            assert rate.value == pytest.approx(float(chosen[among].mean()), abs=1e-12)
            low, high = rate.interval
            assert low is not None
            assert high is not None
            assert rate.value is not None
            assert low <= rate.value <= high
    assert report.fairness is not None
    shares = sorted(float(chosen[sex == name].mean()) for name in found)
    assert report.fairness.selection_ratio == pytest.approx(shares[0] / shares[1])
    assert report.fairness.flagged, "men are told they earn more far more often"


def test_every_declared_column_is_told_inputs_or_not(world: World) -> None:
    reports = Monitoring(world.settings).fairness("income")
    assert [report.column for report in reports] == ["sex", "education"]
    assert reports[0] == Monitoring(world.settings).segments("income", "sex")
    assert any(not group.enough for group in reports[1].segments), "small groups are shown and compared with nothing"
    with pytest.raises(NotFound, match=r"its inputs are age.*, its protected columns beside them sex"):
        Monitoring(world.settings).segments("income", "race")


def test_the_command_line_and_the_report_tell_it(world: World) -> None:
    shell = Shell(state=world.settings.layout.root)
    text = shell.ok("quality", "income", "--fairness").out
    assert "income version 1 by sex" in text
    assert "ALARM: `sex`: Male gets the positive answer in" in text
    told = shell.ok("quality", "income", "--fairness", "--json").json()
    assert [one["column"] for one in told["columns"]] == ["sex", "education"]
    assert shell.ok("quality", "income", "--by", "sex", "--json").json() == told["columns"][0]
    report = make_report(Monitoring(world.settings), "income", 86_400)
    assert json.loads(json.dumps(report.to_json(), allow_nan=False))["fairness"][0]["column"] == "sex"
    assert "<h2>Fairness</h2><h3>sex " in report.to_html()


def test_it_is_no_unknown_column_and_moves_no_prediction(world: World) -> None:
    assert Monitoring(world.settings).data_quality("income").unknown == ()
    row = world.rows.drop("race", "income").to_dicts()[0]
    bare = {name: value for name, value in row.items() if name != "sex"}
    answers = [
        world.api.client.post("/models/income/predict", json={"rows": [sent]}).json()["predictions"][0]
        for sent in (bare, row, {**row, "sex": "Male"}, {**row, "sex": None}, {**row, "sex": [1]}, {**row, "sex": 7})
    ]
    assert len({json.dumps({**one, "id": ""}) for one in answers}) == 1
    odd = world.api.client.post("/models/income/predict", json={"rows": [{**row, "shoe": 44}]}).json()
    assert odd["predictions"][0]["flags"] == ["ignored:shoe"]
    told = world.api.client.get("/models/income").json()
    assert [column["name"] for column in told["protected"]] == ["sex"]
    assert "sex" not in {column["name"] for column in told["schema"]}
    assert "sex" not in told["example"]


def test_every_dialect_takes_it_beside_the_inputs(world: World) -> None:
    rows = world.rows.drop("race", "income").to_dicts()[:3]
    names = list(rows[0])
    for index, row in enumerate(rows):
        row["sex"] = ("Female", None, "Neither")[index]
    columns = {name: [row[name] for row in rows] for name in names}
    text = [[("" if row[name] is None else str(row[name])) for name in names] for row in rows]
    types = {str: "BYTES", int: "INT64", float: "FP64"}
    tensors = [
        {
            "name": name, "shape": [3], "datatype": types.get(type(values[0]), "BYTES"), "data": values,
        }
        for name, values in {**columns, "sex": ["Female", None, "Neither"]}.items()
    ]  # fmt: skip
    sent = [
        ("/v1/models/income:predict", {"json": {"instances": rows}}),
        ("/v1/models/income:predict", {"json": {"inputs": columns}}),
        ("/invocations", {"json": {"dataframe_split": {"columns": names, "data": [list(r.values()) for r in rows]}}}),
        ("/invocations", {"content": "\n".join([",".join(names), *map(",".join, text)]),
                          "headers": {"content-type": "text/csv"}}),
        ("/v2/models/income/infer", {"json": {"inputs": tensors}}),
    ]  # fmt: skip
    tail = len(events(world.settings.layout))
    for path, body in sent:
        answer = world.api.client.post(path, **body)  # type: ignore[arg-type]
        assert answer.status_code == 200, (path, answer.text)
    at = len(INPUTS)
    for event in events(world.settings.layout)[tail:]:
        assert [one for one in event.u if one[1] >= at] == [(0, at, "Female"), (1, at, ""), (2, at, "Neither")], event.d
        assert event.i == {}


def events(layout: Layout) -> list[PredictionEvent]:
    return [
        msgspec.json.decode(line, type=PredictionEvent)
        for path in sorted((layout.events / "predictions").glob("*.ndjson"))
        for line in path.read_bytes().splitlines()
    ]


def test_it_comes_back_with_the_rows_that_are_collected_also_from_the_history(
    world: World, trained: TrainedModel, tmp_path: Path
) -> None:
    token = world.ids[0].rpartition(".")[0]
    before = find_predictions(world.settings.layout, ["income"], [token])[token]
    world.api.stop()  # closes its segments
    look(world.settings)
    assert compact(world.settings).segments > 0
    after = find_predictions(world.settings.layout, ["income"], [token])[token]
    for event in (before, after):
        values = [decode_row(event, row, trained.schema) for row in range(100)]
        assert [one and one["sex"] for one in values] == world.rows["sex"][:100].to_list()
    assert Monitoring(world.settings).segments("income", "sex").unknown == 0
    out = tmp_path / "events.parquet"
    now = datetime.now(UTC)
    export_events(world.settings.layout, "income", 1, (now - timedelta(days=1), now + timedelta(days=1)), out)
    told = dict(pl.read_parquet(out).select("id", "protected.sex").iter_rows())
    assert [told[one] for one in world.ids] == world.rows["sex"].to_list()


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (Kind.NUMBER, "41.5", 41.5), (Kind.NUMBER, "old", None), (Kind.NUMBER, "inf", None),
        (Kind.BOOLEAN, "true", True), (Kind.BOOLEAN, "0", False), (Kind.BOOLEAN, "perhaps", None),
        (Kind.CATEGORY, "new", "new"), (Kind.CATEGORY, "", None), (Kind.NUMBER, "", None),
        (Kind.DATETIME, "yesterday", None),
    ],
)  # fmt: skip
def test_a_value_is_read_as_its_columns_kind(kind: Kind, text: str, value: object) -> None:
    schema = FeatureSchema(
        model="m", version=1, task="binary", target="y", classes=("no", "yes"),  # type: ignore[arg-type]
        columns=(Column(name="x", kind=Kind.NUMBER),), protected=(Column(name="group", kind=kind, levels=("a",)),),
    )  # fmt: skip
    event = PredictionEvent(id="t", t=0, at=0, m="m", v=1, n=1, x=[1.0], y=[0.5], us=1, u=[(0, 1, text)])
    assert decode_row(event, 0, schema) == {"x": 1.0, "group": value}
    untold = PredictionEvent(id="t", t=0, at=0, m="m", v=1, n=1, x=[1.0], y=[0.5], us=1)
    assert decode_row(untold, 0, schema) == {"x": 1.0, "group": None}


def test_a_column_that_makes_no_groups_is_refused(adult: pl.DataFrame) -> None:
    lists = adult.with_columns(sex=pl.concat_list("sex"))
    with pytest.raises(BadTable, match="protected column 'sex' is List"):
        train(parse_spec(DECLARATION), lists, incumbent=None, threads=lambda: 1, progress=Silent())
