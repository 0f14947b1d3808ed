"""A hundred swaps under sixty-four kept connections: each answer is whole, of one version, and LightGBM's own."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import pytest

from appliance.schema import Task
from storage.layout import Layout
from tests.model_bundles import (
    TrainedModel,
    deploy,
    numeric_columns,
    prepare_state,
    publish,
    sample_rows,
    train_model,
)
from tests.served_api import ServedApi, serve_api

CONNECTIONS = 64
COLUMNS = numeric_columns(6)
POOL = sample_rows(COLUMNS, 700)
_HEADER = re.compile(rb"([a-z-]+): ([^\r]*)\r\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A request as bytes, the rows of the pool it asks about, and how its answer says version and values."""

    content: bytes
    rows: slice
    read: Callable[[bytes], tuple[str, list[float]]]


@dataclass(slots=True, kw_only=True)
class Heard:
    """What 64 callers heard: answers by version, in time, and everything that was not as it has to be."""

    answers: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)


def read_native(body: bytes) -> tuple[str, list[float]]:
    found = msgspec.json.decode(body)
    return str(found["version"]), [one["value"] for one in found["predictions"]]


def read_v2(body: bytes) -> tuple[str, list[float]]:
    found = msgspec.json.decode(body)
    return found["model_version"], found["outputs"][0]["data"]


def questions(key: str) -> list[Question]:
    """One row (answered before ASGI), several, many (answered in a thread), and tensors."""
    found = []
    for first, count in ((0, 1), (1, 1), (2, 1), (10, 7), (30, 40), (100, 600)):
        rows = POOL[first : first + count]
        body = msgspec.json.encode({"rows": rows})
        found.append(Question(content=_request("/models/m/predict", body, key), rows=slice(first, first + count),
                              read=read_native))  # fmt: skip
    for first, count in ((5, 1), (200, 20)):
        flat = [row[column.name] for row in POOL[first : first + count] for column in COLUMNS]
        tensor = {"name": "x", "shape": [count, len(COLUMNS)], "datatype": "FP64", "data": flat}
        body = msgspec.json.encode({"inputs": [tensor]})
        found.append(Question(content=_request("/v2/models/m/infer", body, key), rows=slice(first, first + count),
                              read=read_v2))  # fmt: skip
    assert max(len(one.content) for one in found) > 1 << 15
    return found


def _request(path: str, body: bytes, key: str) -> bytes:
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


async def ask_on(api: ServedApi, number: int, expected: dict[int, list[float]], heard: Heard) -> None:
    """One kept connection, until it is cancelled; whatever is wrong with an answer is noted and ends it."""
    reader, writer = await asyncio.open_connection("127.0.0.1", api.port)
    asked = questions(api.key)
    turn = number
    try:
        while True:
            # Every eighth question of a caller is one of the large ones.
            question = asked[turn % len(asked)]
            turn += 1
            writer.write(question.content)
            head = await reader.readuntil(b"\r\n\r\n")
            headers = dict(_HEADER.findall(head))
            body = await reader.readexactly(int(headers[b"content-length"]))
            if not head.startswith(b"HTTP/1.1 200 ") or b"connection" in headers:
                heard.wrong.append(f"{head!r} {body!r}")
                return
            version, values = question.read(body)
            if headers[b"x-model-version"].decode() != version:
                heard.wrong.append(f"the header says {headers[b'x-model-version']!r}, the body {version}")
            if values != expected[int(version)][question.rows]:
                heard.wrong.append(f"version {version} gave {values}")
            heard.answers[int(version)] += 1
    except (OSError, asyncio.IncompleteReadError) as exc:
        heard.wrong.append(repr(exc))
    finally:
        writer.close()


async def swap_under_load(api: ServedApi, layout: Layout, swaps: int, expected: dict[int, list[float]]) -> Heard:
    heard = Heard()
    callers = [asyncio.create_task(ask_on(api, number, expected, heard)) for number in range(CONNECTIONS)]
    for swap in range(swaps):
        version = (2, 3, 1)[swap % 3]
        before = heard.answers[version]
        await asyncio.to_thread(deploy, layout, {"m": version}, revision=swap + 2)
        async with asyncio.timeout(30):
            while heard.answers[version] == before and not heard.wrong:
                await asyncio.sleep(0.005)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    return heard


@pytest.mark.parametrize(
    ("swaps", "settings"),
    [(100, {}), (15, {"APPLIANCE_CAPTURE_DURABILITY": "sync", "APPLIANCE_API_WORKERS": "2"})],
    ids=["100", "durable, two workers"],
)
def test_swaps_fail_no_request_and_mix_no_versions(tmp_path: Path, swaps: int, settings: dict[str, str]) -> None:
    layout = prepare_state(tmp_path / "state")
    versions: dict[int, TrainedModel] = {
        version: train_model("m", version, task=Task.REGRESSION, columns=COLUMNS) for version in (1, 2, 3)
    }
    for trained in versions.values():
        publish(layout, trained)
    deploy(layout, {"m": 1})
    expected = {version: [output[0] for output in trained.expect(POOL)] for version, trained in versions.items()}
    assert len({tuple(values) for values in expected.values()}) == 3
    with serve_api(layout, settings) as api:
        api.wait_until_serving("m", 1)
        heard = asyncio.run(swap_under_load(api, layout, swaps, expected))
    assert heard.wrong == []
    assert sum(heard.answers.values()) > 10 * swaps
