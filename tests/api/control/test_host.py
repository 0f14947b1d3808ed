"""The host in figures: against the kernel's own, and when the kernel does not tell."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from appliance.api.control.host_routes import busy_share, look_at_host
from appliance.errors import NotReady
from tests.api.control.conftest import Control


def test_the_host_is_told_to_whoever_may_look(control: Control) -> None:
    answer = control.client.get("/host", headers=control.read)
    assert answer.status_code == 200
    found = answer.json()
    assert 0 <= found["cpu_share"] <= 1
    assert 0 < found["memory_available"] < found["memory_total"]
    assert found["disk_total"] == shutil.disk_usage(control.appliance.settings.state).total
    assert control.client.get("/host").status_code == 401


@pytest.mark.parametrize(
    ("after", "share"),
    [
        ((150, 0, 50, 900, 0, 0, 0, 0), 0.5),  # 50 + 50 busy of 200 ticks
        ((100, 0, 0, 900, 100, 0, 0, 0), 0.0),  # waiting for a disk is not busy
        ((100, 0, 0, 800, 0, 0, 0, 0), 0.0),  # no tick has passed
        ((200, 0, 0, 800, 0, 0, 0, 0), 1.0),
    ],
)
def test_the_busy_share(after: tuple[int, ...], share: float) -> None:
    assert busy_share((100, 0, 0, 800, 0, 0, 0, 0), after) == share


@pytest.mark.parametrize("stat", ["", "cpu x y z\n", "cpu 1 2\n"])
def test_a_kernel_that_does_not_tell_is_an_error_in_words(control: Control, tmp_path: Path, stat: str) -> None:
    (tmp_path / "stat").write_text(stat)
    (tmp_path / "meminfo").write_text("MemFree: 1 kB\n")
    with pytest.raises(NotReady, match="does not tell"):
        look_at_host(control.appliance, proc=tmp_path)


def test_the_check_of_the_host_says_what_to_do(control: Control) -> None:
    answer = control.client.get("/doctor", headers=control.read)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    by_name = {check["name"]: check for check in found["checks"]}
    assert by_name["libgomp"]["state"] == "ok"
    assert found["ok"] == all(check["state"] != "fail" for check in found["checks"])
    assert all(check["fix"] for check in found["checks"] if check["state"] == "fail")
    assert control.client.get("/doctor").status_code == 401


def test_the_load_is_one_answer(control: Control) -> None:
    answer = control.client.get("/load", headers=control.read)
    assert answer.status_code == 200, answer.text
    found = answer.json()
    assert found["api"] is None, "nothing runs here"
    assert {one["process"]["state"] for one in found["processes"]} == {"stopped"}
    assert 0 < found["disk"]["used"] <= found["disk"]["limit"]
    assert found["lag"]["bytes_behind"] == 0
    assert control.client.get("/load", params={"model": "none"}, headers=control.read).status_code == 404
    assert control.client.get("/load").status_code == 401
