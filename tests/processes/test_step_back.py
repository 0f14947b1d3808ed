"""The way back after an upgrade, failed, interrupted, killed at every step: no database is lost, nor the way back."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.processes.releases import Installation, make_installation
from tests.processes.stub_systemctl import with_units

STEPS = ("journalled", "stopped", "fetched", "decided", "placed", "flipped", "units placed")
OLD, NEW = (False, ["before"]), (True, ["after", "before"])


@pytest.fixture(scope="module")
def upgraded(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """From one to two, with a key of either time."""
    made = make_installation(tmp_path_factory.mktemp("installation"))
    made.add_key("before")
    assert made.upgrade("two", "to", "two", "--no-backup").returncode == 0
    made.add_key("after")
    return made


@pytest.fixture
def place(upgraded: Installation, tmp_path: Path) -> Installation:
    return upgraded.copy(tmp_path)


def require_untouched(place: Installation) -> None:
    """As before the step back, which can be tried again."""
    assert not place.is_under_way
    assert (place.current, place.read()) == ("two", NEW)
    assert place.appliance("key", "list").returncode == 0
    again = place.changing("back", "nothing", "")
    assert again.returncode == 0, again.stderr
    assert (place.current, place.read()) == ("one", OLD)


def test_a_copy_that_finds_no_room_changes_nothing(place: Installation) -> None:
    done = place.changing("back", "full", "stopped")
    assert done.returncode == 3, done.stderr
    assert "File too large" in done.stderr
    assert "going back to two" in done.stderr
    require_untouched(place)


@pytest.mark.parametrize("step", STEPS)
def test_an_interruption_is_taken_back(place: Installation, step: str) -> None:
    done = place.changing("back", "interrupt", step)
    assert done.returncode == 3, done.stderr
    assert "interrupted by SIGINT; going back to two" in done.stderr
    require_untouched(place)


@pytest.mark.parametrize(("deed", "name"), [("hangup", "SIGHUP"), ("stop", "SIGTERM")])
def test_a_terminal_that_goes_away_and_a_stop_are_interruptions_too(place: Installation, deed: str, name: str) -> None:
    done = place.changing("back", deed, "flipped")
    assert done.returncode == 3, done.stderr
    assert f"interrupted by {name}; going back to two" in done.stderr
    require_untouched(place)


@pytest.mark.parametrize("step", STEPS)
def test_a_kill_is_taken_back_also_when_that_is_killed_too(place: Installation, step: str) -> None:
    assert place.changing("back", "kill", step).returncode == -signal.SIGKILL
    assert place.is_under_way
    assert place.changing("recover", "kill", "taken back").returncode == -signal.SIGKILL
    assert place.is_under_way
    assert place.upgrade(place.current, "recover").returncode == 0
    require_untouched(place)


def test_what_is_written_after_half_a_recovery_stays(place: Installation) -> None:
    place.changing("back", "kill", "flipped")
    place.changing("recover", "kill", "taken back")
    place.add_key("between")
    assert place.upgrade(place.current, "recover").returncode == 0
    assert place.read() == (True, ["after", "before", "between"])


def test_a_kill_at_the_end_leaves_it_done(place: Installation) -> None:
    assert place.changing("back", "kill", "done").returncode == -signal.SIGKILL
    assert place.upgrade(place.current, "recover").stdout == ""
    assert (place.current, place.read()) == ("one", OLD)


def test_and_forth_again_with_the_databases_of_then(place: Installation) -> None:
    assert place.changing("back", "nothing", "").returncode == 0
    done = place.changing("back", "nothing", "")
    assert done.returncode == 0, done.stderr
    require_untouched(place)


def test_an_upgrade_that_fails_leaves_the_way_back_to_the_one_before(place: Installation) -> None:
    done = place.changing("to", "interrupt", "copied")
    assert done.returncode == 3, done.stderr
    require_untouched(place)


@pytest.mark.parametrize("step", ["stopped", "placed", "started"])
def test_what_ran_runs_again_after_an_interruption_or_a_kill(place: Installation, step: str) -> None:
    units = with_units(place)
    done = units.place.changing("back", "interrupt", step)
    assert done.returncode == 3, done.stderr
    assert units.called("start --no-block appliance-api.service")
    assert (place.current, place.read()) == ("two", NEW)
    assert units.place.changing("back", "kill", step).returncode == -signal.SIGKILL
    assert json.loads((place.state / "upgrade" / "journal.json").read_bytes())["ran"]
    units.forget()
    assert units.place.upgrade(place.current, "recover").returncode == 0
    assert units.called("start --no-block appliance-api.service")
    require_untouched(place)


def test_a_step_back_to_what_does_not_start_any_more_is_taken_back(place: Installation) -> None:
    units = with_units(place, failing="one")
    done = units.place.changing("back", "nothing", "")
    assert done.returncode == 3, done.stderr
    assert "the start failed" in done.stderr
    require_untouched(place)


def test_where_neither_release_starts_any_more_the_code_says_so(place: Installation) -> None:
    units = with_units(place, failing="one | two")
    done = units.place.changing("back", "nothing", "")
    assert done.returncode == 4, done.stderr
    assert "the start failed" in done.stderr
    assert "going back to two" in done.stderr
    assert "the release before is not well either" in done.stderr
    require_untouched(place)
