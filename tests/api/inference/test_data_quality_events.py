"""What is odd about a request reaches the event log: unknown columns with the answer, refusals with their column."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest

from appliance.events import PredictionEvent, StatsEvent
from appliance.schema import Task
from storage.layout import Layout
from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, deploy, prepare_state, publish, sample_rows, train_model
from tests.served_api import serve_api

ROW = sample_rows(MIXED_COLUMNS, 1)[0]
ODD = {**ROW, "wind": 3, "sky": None}


def events(layout: Layout) -> list[PredictionEvent]:
    paths = sorted((layout.events / "predictions").glob("*.ndjson"))
    return [
        msgspec.json.decode(line, type=PredictionEvent) for path in paths for line in path.read_bytes().splitlines()
    ]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/models/mixed/predict", {"rows": [ODD, ROW, {**ROW, "wind": 1}]}),
        ("/v1/models/mixed:predict", {"instances": [ODD, ROW, {**ROW, "wind": 1}]}),
        ("/invocations", {"dataframe_records": [ODD, ROW, {**ROW, "wind": 1}]}),
    ],
)
def test_unknown_columns_are_in_the_event(deployed: Deployed, path: str, body: dict[str, object]) -> None:
    headers = {"X-Amzn-SageMaker-Target-Model": "mixed"}
    before = {event.id for event in events(deployed.layout)}
    assert deployed.api.client.post(path, json=body, headers=headers).status_code == 200
    (event,) = [event for event in events(deployed.layout) if event.id not in before]
    assert (event.n, event.i) == (3, {"wind": 2, "sky": 1})


def test_a_plain_row_costs_no_byte_more(deployed: Deployed) -> None:
    deployed.api.client.post("/models/mixed/predict", json={"rows": [ROW]})
    newest = max((deployed.layout.events / "predictions").glob("*.ndjson"), key=lambda path: path.stat().st_mtime)
    assert b'"i":' not in newest.read_bytes().splitlines()[-1]


def test_names_that_callers_make_up_are_bounded(deployed: Deployed) -> None:
    before = {event.id for event in events(deployed.layout)}
    row = {**ROW, **{f"{'x' * 300}{i}": i for i in range(5)}, **{f"made-up-{i}": i for i in range(50)}}
    assert deployed.api.client.post("/models/mixed/predict", json={"rows": [row]}).status_code == 200
    (event,) = [event for event in events(deployed.layout) if event.id not in before]
    assert len(event.i) <= 21
    assert max(map(len, event.i)) <= 100
    assert sum(event.i.values()) == 55


def test_refusals_name_the_column(tmp_path_factory: pytest.TempPathFactory) -> None:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    publish(layout, train_model("mixed", 1, task=Task.BINARY, columns=MIXED_COLUMNS))
    deploy(layout, {"mixed": 1})
    lacking = {name: value for name, value in ROW.items() if name != "machine"}
    with serve_api(layout) as api:
        api.wait_until_serving("mixed", 1)
        for _ in range(3):
            assert api.client.post("/models/mixed/predict", json={"rows": [lacking]}).status_code == 422
        assert api.client.post("/models/mixed/predict", json={"rows": [{**ROW, "zone": []}]}).status_code == 422
        assert api.client.post("/v1/models/mixed:predict", json={"instances": [lacking]}).status_code >= 400
        assert api.client.post("/models/mixed/predict", json={"row": 1}).status_code == 422
    found: Counter[tuple[str, int, str]] = Counter()
    mistyped: Counter[tuple[str, int, str]] = Counter()
    statuses: Counter[int] = Counter()
    for path in (layout.events / "stats").glob("*.ndjson"):
        for line in path.read_bytes().splitlines():
            event = msgspec.json.decode(line, type=StatsEvent)
            for model, version, column, count in event.fields:
                found[model, version, column] += count
            for model, version, column, count in event.types:
                mistyped[model, version, column] += count
            for _, _, status, count in event.errors:
                statuses[status] += count
    assert found == {("mixed", 1, "machine"): 4, ("mixed", 1, "zone"): 1}
    assert mistyped == {("mixed", 1, "zone"): 1}
    assert statuses.total() == 6
