"""``capture_durability``: with ``sync`` an answer waits for the disk, with ``async`` no request asks it."""

from __future__ import annotations

import ctypes
import errno
import platform
import re
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from appliance.schema import Task
from storage.layout import Layout
from tests.model_bundles import add_key, deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api

COLUMNS = numeric_columns(3)
ROWS = sample_rows(COLUMNS, 1)
SYNC = {"APPLIANCE_CAPTURE_DURABILITY": "sync"}

_FDATASYNC = {"x86_64": 75, "aarch64": 83}
_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    found = prepare_state(tmp_path_factory.mktemp("durability") / "state")
    publish(found, train_model("m", 1, task=Task.REGRESSION, columns=COLUMNS))
    deploy(found, {"m": 1})
    return found


def on_a_disk_that_fails_to_flush(look: Callable[[], None]) -> None:
    """Run in a thread for which, and for whose processes, the kernel answers every fdatasync with EIO."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            _refuse_fdatasync()
            look()
        except BaseException as exc:  # noqa: BLE001  (raised again below, in the test's own thread)
            raised.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    if raised:
        raise raised[0]


def _refuse_fdatasync() -> None:
    """A seccomp filter of this thread: load the call's number; if it is fdatasync return EIO, else allow."""
    number = _FDATASYNC[platform.machine()]
    steps = [(0x20, 0, 0, 0), (0x15, 0, 1, number), (0x06, 0, 0, 0x00050000 | errno.EIO), (0x06, 0, 0, 0x7FFF0000)]
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in steps))
    program = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(steps), ctypes.addressof(code)))
    libc = ctypes.CDLL(None, use_errno=True)
    assert libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    assert libc.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, program, 0, 0) == 0


def predict(api: ServedApi) -> httpx.Response:
    answer = api.client.post("/models/m/predict", json={"rows": ROWS})
    assert answer.status_code == 200
    return answer


def syncs(api: ServedApi) -> float:
    found = re.search(r"^appliance_event_log_syncs_total (\S+)$", api.client.get("/metrics").text, re.MULTILINE)
    assert found
    return float(found[1])


def test_with_sync_an_answer_tells_what_became_of_its_flush(layout: Layout) -> None:
    key = add_key(layout, "sync", "admin")  # SQLite flushes, too

    def look() -> None:
        with serve_api(layout, SYNC, key=key) as api:
            api.wait_until_serving("m", 1)
            answer = predict(api)
            assert answer.headers["x-capture"] == "off"
            label = {"labels": [{"id": answer.json()["predictions"][0]["id"], "label": 1.0}]}
            refused = api.client.post("/models/m/labels", json=label)
            assert refused.status_code == 503
            assert "cannot flush the event log to the disk: Input/output error" in refused.json()["detail"]

    on_a_disk_that_fails_to_flush(look)


def test_with_async_no_request_asks_the_disk(layout: Layout) -> None:
    key = add_key(layout, "async", "admin")

    def look() -> None:
        with serve_api(layout, key=key) as api:
            api.wait_until_serving("m", 1)
            assert "x-capture" not in predict(api).headers
            assert syncs(api) == 0

    on_a_disk_that_fails_to_flush(look)


def test_with_sync_requests_at_once_share_flushes(layout: Layout) -> None:
    clients, each = 8, 25
    with serve_api(layout, SYNC) as api:
        api.wait_until_serving("m", 1)

        def ask() -> None:
            with httpx.Client(base_url=api.url, headers={"x-api-key": api.key}) as client:
                for _ in range(each):
                    assert "x-capture" not in client.post("/models/m/predict", json={"rows": ROWS}).headers

        threads = [threading.Thread(target=ask) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        deadline = time.monotonic() + 120
        while (found := syncs(api)) == 0 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 1 <= found <= clients * each
    logged = sum(path.read_bytes().count(b"\n") for path in Path(layout.events / "predictions").glob("*.ndjson"))
    assert logged >= clients * each
