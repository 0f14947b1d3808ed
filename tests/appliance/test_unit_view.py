"""Paths that no unit sees are refused with the way out, and those that may not be read with what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from appliance.errors import BadInput
from appliance.house import Appliance, open_appliance, prepare_state
from appliance.intake import Intake
from appliance.settings import Settings
from appliance.unit_view import UNSEEN, require_seen
from tests.training.state import add

STATE = Path("/var/lib/appliance")


@pytest.mark.parametrize("place", UNSEEN)
def test_with_units_a_path_that_they_do_not_see_is_refused_with_the_way_out(place: str) -> None:
    source = f"{place}/bob/*.csv"
    with pytest.raises(BadInput, match=r"cannot be seen.*below /srv"):
        require_seen(Settings(state=STATE, systemd=True), source)
    require_seen(Settings(state=STATE), source)


@pytest.mark.parametrize(
    "source", ["/srv/in", "/homes/bob", "/mnt/root/x", "https://host/home/x.csv", "postgresql://host/tmp", "/opt/a.csv"]
)
def test_other_places_pass(source: str) -> None:
    require_seen(Settings(state=STATE, systemd=True), source)


def test_the_state_is_seen_wherever_it_lies() -> None:
    require_seen(Settings(state=Path("/home/appliance"), systemd=True), "/home/appliance/tmp/upload")


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    settings = Settings(state=tmp_path / "state", systemd=True)
    prepare_state(settings)
    return open_appliance(settings)


def test_a_feed_is_declared_of_what_the_runner_will_see(house: Appliance, tmp_path: Path) -> None:
    rows = tmp_path / "rows.csv"
    pl.DataFrame({"a": range(9)}).write_csv(rows)
    house.datasets.take_in("d", Intake(source=str(rows)), who="test")
    with pytest.raises(BadInput, match="cannot be seen"):
        house.feeds.schedule("d", "0 3 * * *", who="test")
    with pytest.raises(BadInput, match="cannot be seen"):
        house.feeds.watch("e", Intake(source=str(tmp_path)), who="test")
    add(house, "f", pl.DataFrame({"a": [1]}))
    assert not house.feeds.list()


def test_what_may_not_be_read_is_said_and_how(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    (closed / "rows.csv").write_text("a,b\n1,2\n")
    (tmp_path / "open.csv").write_text("a,b\n1,2\n")
    (tmp_path / "open.csv").chmod(0)
    closed.chmod(0)
    code = """
import sys
from pathlib import Path
from storage.errors import SourceUnreadable
from storage.sources import SourceOptions, open_source
from tests.unprivileged import drop_capabilities
drop_capabilities()
for source in sys.argv[2:]:
    try:
        with open_source(source, SourceOptions(tmp=Path(sys.argv[1]), memory="100MB", threads=1)):
            pass
    except SourceUnreadable as exc:
        print(exc)
"""
    sources = [str(closed / "rows.csv"), str(closed), str(tmp_path / "open.csv")]
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), *sources], capture_output=True, text=True, check=False
    )
    closed.chmod(0o700)
    assert done.returncode == 0, done.stderr
    told = done.stdout.splitlines()
    assert len(told) == len(sources)
    assert all("Permission denied" in line or "cannot be read" in line for line in told), told
    assert "let the user that the appliance runs as read it" in told[0]
