"""The newcomer's way, whole: ./install.sh --local DIR --demo, a pasted curl, a second run, a second installation."""

from __future__ import annotations

import json
import re
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.place import ROOT, Place

pytestmark = [pytest.mark.install, pytest.mark.timeout(1200)]

CHECKOUT = ("appliance", "flows", "storage", "ui", "systemd")


def listing(folder: Path) -> dict[str, int]:
    """Every file and when it was written; byte code aside, which running tests write."""
    return {
        str(path): path.lstat().st_mtime_ns
        for path in folder.rglob("*")
        if "__pycache__" not in path.parts and not path.is_dir()
    }


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """The installation with the demo, and what the installer said."""
    place = Place.below(tmp_path_factory.mktemp("demo"))
    before = {name: listing(ROOT / name) for name in CHECKOUT}
    top = sorted(path.name for path in ROOT.iterdir())
    done = place.install(*place.port_flags, "--demo")
    try:
        assert done.code == 0, f"{done.out[-3000:]}\n{done.err[-3000:]}"
        assert before == {name: listing(ROOT / name) for name in CHECKOUT}, "the checkout was written to"
        assert sorted(path.name for path in ROOT.iterdir()) == top
        yield place, done.out
    finally:
        place.remove()


def test_it_ends_by_saying_where_everything_is(demo: tuple[Place, str]) -> None:
    place, said = demo
    assert f"http://127.0.0.1:{place.ports['ui']}" in said
    for name in ("admin-password", "demo-key"):
        path = place.base / "state" / name
        assert str(path) in said
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_text().strip() not in said, "a secret is never printed"
    assert "ssh -L" in said
    assert "--listen" in said


def test_the_curl_line_predicts_when_it_is_pasted(demo: tuple[Place, str]) -> None:
    place, said = demo
    line = next(line for line in said.splitlines() if line.startswith("curl "))
    answer = json.loads(place.sh(line).out)
    assert answer["model"] == "bike-demand"
    assert answer["version"] == 2, "the retrained champion serves"
    assert answer["predictions"][0]["value"] > 0


def test_the_demo_ends_with_drift_and_a_better_champion(demo: tuple[Place, str]) -> None:
    place, _ = demo
    drift = json.loads(place.appliance("drift", "bike-demand", "--version", "1", "--window", "30d", "--json").out)
    assert drift["dataset"]["state"] in {"warn", "alarm"}
    versions = json.loads(place.appliance("versions", "bike-demand", "--json").out)["versions"]
    assert [(one["version"], one["gate"]["passed"]) for one in versions] == [(2, True), (1, True)]


def test_nothing_is_written_outside_the_directory(demo: tuple[Place, str]) -> None:
    place, _ = demo
    assert list(place.home.rglob("*")) == []


def test_a_second_run_changes_and_restarts_nothing(demo: tuple[Place, str]) -> None:
    place, _ = demo
    before, files = json.loads(place.appliance("status", "--json").out), installed_files(place)
    done = place.install("--demo")
    assert done.code == 0, done.err
    assert "nothing was changed" in done.out
    assert "[1]" not in done.out, "no step was needed"
    after = json.loads(place.appliance("status", "--json").out)
    assert [s["pid"] for s in after["services"]] == [s["pid"] for s in before["services"]]
    assert installed_files(place) == files


def test_two_installations_live_side_by_side(demo: tuple[Place, str], tmp_path: Path) -> None:
    first, _ = demo
    second = Place.below(tmp_path, UV_CACHE_DIR=str(first.base / "cache" / "uv"))
    try:
        done = second.install(*second.port_flags)
        assert done.code == 0, done.err
        assert second.appliance("status").code == 0
        assert first.appliance("status").code == 0
        assert json.loads(second.appliance("models", "--json").out) == {"models": []}
        stopped = second.appliance("down")
        assert stopped.out.strip() == "stopped"
        assert second.appliance("status").code == 3
        assert first.appliance("status").code == 0
    finally:
        second.remove()


def test_a_taken_port_is_said_by_up_too(demo: tuple[Place, str], tmp_path: Path) -> None:
    place, _ = demo
    done = place.appliance("--state", str(tmp_path / "other"), "up", "--detach")
    assert done.code == 1
    assert re.search(rf"port {place.ports['api']} on 127.0.0.1 is taken by .*; end that, or choose another", done.err)
    assert "--api-port (APPLIANCE_API_PORT)" in done.err


def installed_files(place: Place) -> dict[str, int]:
    """All but the state, which lives."""
    state = str(place.base / "state")
    return {path: at for path, at in listing(place.base).items() if not path.startswith(state)}
