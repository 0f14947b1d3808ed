"""MLflow on demand, with the real MLflow behind the door."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from appliance.processes.procfs import list_tree
from storage.layout import Layout

pytestmark = pytest.mark.stack

DOOR = """
import asyncio, socket, sys
from pathlib import Path
from appliance.processes.mlflow_door import Door
from storage.layout import Layout
listener = socket.create_server(("127.0.0.1", int(sys.argv[2])))
listener.setblocking(False)
asyncio.run(Door(Layout(root=Path(sys.argv[1])), idle_s=1.0).serve(listener, end_when_idle=sys.argv[3] == "yes"))
"""


def wait_for(what: Callable[[], bool], timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def open_door(layout: Layout, port: int, *, end_when_idle: bool) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", DOOR, str(layout.root), str(port), "yes" if end_when_idle else "no"],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_mlflow_opens_for_a_visitor_and_closes_when_nobody_is_there(tmp_path: Path, port: int) -> None:
    layout = Layout(root=tmp_path / "state")
    layout.create()
    door = open_door(layout, port, end_when_idle=False)
    try:
        time.sleep(0.5)
        assert list_tree(door.pid) == [door.pid], "asleep: no MLflow yet"
        # The very first connection may come before the door listens; a browser would try again, too.
        transport = httpx.HTTPTransport(retries=5)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", transport=transport, timeout=120.0) as visitor:
            assert visitor.get("/health").text == "OK"
            found = visitor.get("/ajax-api/2.0/mlflow/experiments/search", params={"max_results": 5})
            assert [one["name"] for one in found.json()["experiments"]] == ["Default"]
            assert len(list_tree(door.pid)) > 1
        wait_for(lambda: list_tree(door.pid) == [door.pid])
    finally:
        door.terminate()
        assert door.wait(timeout=60) == 0


def test_as_a_unit_it_ends_itself_when_nobody_is_there(tmp_path: Path, port: int) -> None:
    layout = Layout(root=tmp_path / "state")
    layout.create()
    door = open_door(layout, port, end_when_idle=True)
    assert door.wait(timeout=60) == 0


def read_settings(environment: dict[str, str]) -> str:
    """What the door says of settings that keep it from its work."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("APPLIANCE_")}
    done = subprocess.run(
        [sys.executable, "-m", "appliance.processes.mlflow_door"], env=inherited | environment,
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == os.EX_CONFIG, done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("state = ", "Invalid value"),
        ("# f\xfcr die Bank\n", "can't decode byte 0xfc"),
        ("mlflow_port = 'abc'", "mlflow_port: abc is no port"),
        ("mlflow_port = 65536", "mlflow_port: 65536 is no port"),
    ],
    ids=["no TOML", "no UTF-8", "no number", "too large"],
)
def test_settings_that_cannot_be_read_are_a_sentence(tmp_path: Path, content: str, says: str) -> None:
    config = tmp_path / "appliance.toml"
    config.write_text(content, encoding="latin-1")
    said = read_settings({"APPLIANCE_CONFIG": str(config)})
    assert said.startswith(f"mlflow: settings file {config}: "), said
    assert says in said


def test_a_port_of_the_environment_that_is_none_is_told_as_that(tmp_path: Path) -> None:
    said = "mlflow: APPLIANCE_MLFLOW_PORT: abc is no port; give a whole number from 1 to 65535\n"
    config = tmp_path / "appliance.toml"
    config.write_text("mlflow_port = 5000", encoding="utf-8")
    for environment in ({}, {"APPLIANCE_CONFIG": str(config)}):
        assert read_settings({"APPLIANCE_MLFLOW_PORT": "abc", **environment}) == said
