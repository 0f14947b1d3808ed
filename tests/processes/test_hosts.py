"""What systemd is asked: by an upgrade, and how each unit stands."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from appliance.processes.hosts import UnitsHost
from appliance.processes.roster import Service
from appliance.processes.units import read_units
from tests.processes.releases import Installation
from tests.processes.stub_systemctl import Units, with_units

RESTART = "try-restart --no-block appliance-tls.service"


@pytest.fixture
def units(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Units:
    base = tmp_path / "base"
    base.mkdir()
    (base / "current").symlink_to("releases/two")
    place = Installation(base=base, state=tmp_path, environment={"PATH": os.environ["PATH"]})
    made = with_units(place)
    monkeypatch.setenv("PATH", made.place.environment["PATH"])
    return made


@contextmanager
def door(units: Units, release: str) -> Iterator[None]:
    """A process that was started as one of that release."""
    program = units.place.base / "releases" / release / "venv" / "bin" / "python"
    process = subprocess.Popen([program, "600"], executable="/bin/sleep")
    (units.folder / "pid").write_text(f"{process.pid}\n")
    yield
    process.kill()
    process.wait()


def test_the_door_of_tls_is_started_again_when_it_is_of_another_release(units: Units) -> None:
    with door(units, "one"):
        UnitsHost(units.place.base).start()
    assert units.called(RESTART)


def test_the_door_of_tls_keeps_its_callers_when_it_is_of_this_release(units: Units) -> None:
    with door(units, "two"):
        UnitsHost(units.place.base).start()
    assert units.called("start --no-block appliance-api.service")
    assert not units.called(RESTART)


def test_since_when_a_unit_stands_so_is_told_in_utc(units: Units, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the oldest systemd that will do, in whichever zone the host is."""
    monkeypatch.setenv("TZ", "EST5")
    [report] = read_units((Service(name="runner", module="none", host="", port=0, setting=""),), weigh=False)
    assert (report.state, report.since) == ("running", "2023-11-14T22:13:20+00:00")
    assert units.called("show")
