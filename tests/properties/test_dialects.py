"""Whatever a caller sends, a dialect answers it or refuses it in its own shape; nothing is ever an internal error."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.schema import Task
from tests.model_bundles import MIXED_COLUMNS, deploy, prepare_state, publish, sample_rows, train_model
from tests.served_api import serve_api

SHAPES = {
    "/models/m/predict": "detail", "/v2/models/m/infer": "error", "/v1/models/m:predict": "error",
    "/v1/models/m:explain": "error", "/invocations": "error_code",
}  # fmt: skip
MEMBERS = [
    "rows", "explain", "key", "time", "inputs", "outputs", "id", "parameters", "instances", "signature_name",
    "dataframe_split", "dataframe_records", "params", "columns", "data", "index", "name", "shape", "datatype",
]  # fmt: skip
NAMES = st.sampled_from([column.name for column in MIXED_COLUMNS])
ROWS = st.integers(0, 3).map(lambda seed: sample_rows(MIXED_COLUMNS, 1, seed=seed)[0])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=8),
    st.sampled_from(["FP64", "BYTES", "BOOL", "serving_default", "L", "1", "2020-01-01"]), ROWS,
    ROWS.map(lambda row: list(row.values())),
)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.sampled_from(MEMBERS), inner, max_size=6),
    max_leaves=12,
)
BODIES = st.one_of(
    VALUES.map(msgspec.json.encode),
    st.dictionaries(st.sampled_from(MEMBERS), VALUES, min_size=1, max_size=4).map(msgspec.json.encode),
    st.binary(max_size=40),
)
TABLES = st.one_of(
    st.binary(max_size=60),
    st.lists(st.lists(st.text(max_size=6) | NAMES, max_size=7).map(",".join), max_size=4).map(
        lambda lines: "\n".join(lines).encode("utf-8", "surrogatepass")
    ),
    st.lists(st.text(max_size=6), min_size=6, max_size=6).map(
        lambda cells: ('"Air temperature [K]","quote "" and \\ back",machine,zone,running,built_at\n' + ",".join(cells))
        .encode("utf-8", "surrogatepass")
    ),
)  # fmt: skip


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    publish(layout, train_model("m", 1, task=Task.BINARY, columns=MIXED_COLUMNS))
    deploy(layout, {"m": 1})
    with serve_api(layout) as api:
        api.wait_until_serving("m", 1)
        yield api.client


def require_answered_or_refused(client: httpx.Client, path: str, body: bytes, headers: dict[str, str]) -> None:
    answer = client.post(path, content=body, headers=headers)
    if answer.status_code != 200:
        assert answer.status_code in {400, 422}, answer.text
        assert SHAPES[path] in answer.json()


@pytest.mark.parametrize("path", list(SHAPES))
@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=BODIES)
def test_any_body(client: httpx.Client, path: str, body: bytes) -> None:
    require_answered_or_refused(client, path, body, {"content-type": "application/json"})


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=TABLES)
def test_any_table(client: httpx.Client, body: bytes) -> None:
    require_answered_or_refused(client, "/invocations", body, {"content-type": "text/csv"})


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    member=st.sampled_from(["instances", "inputs", "dataframe_split", "dataframe_records"]),
    rows=st.lists(ROWS, min_size=1, max_size=3),
    cell=st.tuples(NAMES, LEAVES),
)
def test_a_good_frame_with_one_odd_cell(
    client: httpx.Client, member: str, rows: list[dict[str, Any]], cell: tuple[str, object]
) -> None:
    rows = [dict(row) for row in rows]
    rows[-1][cell[0]] = cell[1]
    frame: object = rows
    if member == "dataframe_split":
        frame = {"columns": list(rows[0]), "data": [list(row.values()) for row in rows]}
    body = msgspec.json.encode({member: frame})
    require_answered_or_refused(client, "/invocations", body, {"content-type": "application/json"})
    if member in {"instances", "inputs"}:
        require_answered_or_refused(client, "/v1/models/m:predict", body, {})
