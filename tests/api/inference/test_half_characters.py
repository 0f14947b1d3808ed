"""Half of a surrogate pair is JSON to Python and text to nobody: refused in every dialect, in any size, at once."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
import uvicorn

from appliance.api.inference.bodies import BodyReader
from appliance.api.inference.connections import speak
from appliance.api.inference.errors import BadJson
from appliance.api.inference.exchange import Answer, Call, Desk, Endpoint, Refuse
from appliance.api.inference.front import Front
from appliance.api.inference.keys import KeyRing
from appliance.api.inference.limits import Limits
from appliance.api.inference.paths import PathTable
from appliance.api.inference.problems import mlflow_error, native_problem
from appliance.serving.capture import Capture
from appliance.serving.counts import Counts
from appliance.serving.heap import Heap
from appliance.serving.shadow import Shadows
from storage.layout import Layout
from tests.api.inference.conftest import Deployed
from tests.model_bundles import MIXED_COLUMNS, prepare_state, sample_rows

ROW = json.dumps(sample_rows(MIXED_COLUMNS, 1)[0])
HALF = '"\\ud800"'
BODIES = {
    "a member": ("/models/mixed/predict", f'{{"rows":[{ROW}],{HALF}:1}}'),
    "a column": ("/models/mixed/predict", f'{{"rows":[{ROW[:-1]},{HALF}:1}}]}}'),
    "a value": ("/models/mixed/predict", f'{{"rows":[{ROW[:-1]},"machine":{HALF}}}]}}'),
    "a key": ("/models/mixed/predict", f'{{"rows":[{ROW}],"key":{HALF}}}'),
    "raw bytes": ("/models/mixed/predict", f'{{"rows":[{ROW}],"\ud800":1}}'),
    "a label's id": ("/models/mixed/labels", f'{{"labels":[{{"id":{HALF},"label":"no"}}]}}'),
    "a label": ("/models/mixed/labels", f'{{"labels":[{{"id":"x","label":{HALF}}}]}}'),
    "V1": ("/v1/models/mixed:predict", f'{{"inputs":{{{HALF}:3}}}}'),
    "V2": ("/v2/models/mixed/infer", f'{{"inputs":[{{"name":{HALF},"shape":[1],"datatype":"X","data":[1]}}]}}'),
    "MLflow, a column": ("/invocations", f'{{"inputs":{{{HALF}:3}}}}'),
    "MLflow, a value": ("/invocations", f'{{"dataframe_records":[{ROW[:-1]},"machine":{HALF}}}]}}'),
    "MLflow, a split": ("/invocations", f'{{"dataframe_split":{{"columns":[{HALF}],"data":[[1]]}}}}'),
}


@pytest.mark.parametrize("case", list(BODIES))
@pytest.mark.parametrize("padding", [0, 40_000], ids=["small", "large"])
def test_half_a_character_is_refused_in_the_dialects_shape(deployed: Deployed, case: str, padding: int) -> None:
    path, text = BODIES[case]
    body = text.encode("utf-8", "surrogatepass") + b" " * padding
    headers = {"X-Amzn-SageMaker-Target-Model": "mixed", "Content-Type": "application/json"}
    answer = deployed.api.client.post(path, content=body, headers=headers)
    assert answer.status_code == 400
    said = answer.json()
    assert "the body is not " in (said.get("detail") or said.get("error") or said.get("message"))
    assert deployed.api.client.get("/models").status_code == 200


def test_a_whole_character_of_two_halves_is_text(deployed: Deployed) -> None:
    body = f'{{"rows":[{ROW}],"key":"\\ud83d\\ude00","explain":NaN}}'
    answer = deployed.api.client.post("/models/mixed/predict", content=body.encode())
    assert answer.status_code == 422
    assert answer.json()["field"] == "explain"


@pytest.mark.parametrize("digits", [310, 400, 4000])
def test_a_label_beyond_float64_is_refused(deployed: Deployed, digits: int) -> None:
    body = f'{{"labels":[{{"id":"x","label":{"1" * digits}}}]}}'
    answer = deployed.api.client.post("/models/price/labels", content=body.encode())
    assert answer.status_code == 422
    said = answer.json()
    assert (said["field"], said["found"]) == ("labels[0].label", "a number beyond float64")


@pytest.mark.parametrize("refuse", [native_problem, mlflow_error])
def test_a_refusal_that_cannot_be_written_is_an_error_of_ours(
    tmp_path: Path, refuse: Refuse, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(call: Call) -> Answer:
        raise BadJson("\ud800")

    with open_desk(prepare_state(tmp_path)) as desk:
        answer = asyncio.run(ask(desk, Endpoint(methods={"POST": fail}, refuse=refuse, scopes=None), b"x"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"see the service's log for this request id" in answer
    assert "UnicodeEncodeError" in caplog.text


def test_an_answer_that_cannot_be_given_ends_its_connection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def say(call: Call) -> Answer:
        return Answer(body=b"", request_id="x", headers=((b"x-odd", b"a\nb"),))

    large = Endpoint(methods={"POST": say}, refuse=native_problem, scopes=None)
    with open_desk(prepare_state(tmp_path)) as desk:
        assert asyncio.run(ask(desk, large, b" " * 40_000)) == b""
    assert "could not be given; its connection is closed" in caplog.text


@contextmanager
def open_desk(layout: Layout) -> Iterator[Desk]:
    """The parts of a process, without its models."""
    capture, counts = Capture(layout, reserve_bytes=0, durable=False), Counts(layout.run / "counts", 0)
    desk = Desk(
        keys=KeyRing(layout), capture=capture, counts=counts, pool=ThreadPoolExecutor(1),
        bodies=BodyReader(1 << 20, timeout_s=30), shadows=Shadows(capture, counts),
        limits=Limits(max_in_flight=1, key_rate_per_s=0), heap=Heap(),
    )  # fmt: skip
    yield desk
    desk.pool.shutdown()
    desk.keys.close()
    capture.close()


def server_of(desk: Desk, endpoint: Endpoint) -> uvicorn.Server:
    """A server of which ``/odd`` is the only path."""
    paths = PathTable({"/odd": endpoint})
    config = uvicorn.Config(Front(desk, paths, nullcontext), http=speak(desk, paths), lifespan="off", log_config=None)  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    return server


async def ask(desk: Desk, endpoint: Endpoint, body: bytes) -> bytes:
    """What it says to a request."""
    server = server_of(desk, endpoint)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        await server.startup([listener.dup()])
        reader, writer = await asyncio.open_connection(*listener.getsockname())
        writer.write(b"POST /odd HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body))
        writer.write(body)
        answer = await asyncio.wait_for(reader.read(), 30)
        writer.close()
        await server.shutdown([])
    return answer
