"""Before anything is touched: what is missing is listed, all of it; wrong use is said. Nothing is installed here."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.install.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place.below(tmp_path)


def test_everything_that_is_missing_is_listed_at_once(place: Place) -> None:
    (place.home / "file").touch()
    state = place.home / "file" / "state"
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = place.install(
            "--state", str(state), "--api-port", str(port), "--ui-port", "4711", "--mlflow-port", "4711",
            "--orchestrator-port", "70000",
        )  # fmt: skip
    assert done.code == 2
    assert "This host is not ready; nothing was changed:" in done.err
    assert f"E009  port {port} is taken" in done.err
    assert "choose another with --api-port (APPLIANCE_API_PORT)" in done.err
    assert f"E006  {state} cannot be written" in done.err
    assert "E007  --ui-port and --mlflow-port are both 4711" in done.err
    assert "E007  --orchestrator-port 70000 is no port" in done.err
    assert not place.base.exists()


def test_a_python_that_is_too_old_or_absent_is_said(place: Place) -> None:
    done = place.install("--python", "/nowhere/python3")
    assert done.code == 2
    assert "E003  there is no Python 3.11, 3.12 or 3.13" in done.err
    assert "apt-get install python3 python3-venv" in done.err


def test_an_address_that_is_not_this_hosts_is_said(place: Place) -> None:
    done = place.install(*place.port_flags, "--listen", "192.0.2.1")
    assert done.code == 2
    assert "E008  --listen 192.0.2.1 is not an address of this host" in done.err


@pytest.mark.parametrize(
    ("flags", "message"), [(["--prot", "1"], "there is no option --prot"), (["--api-port"], "--api-port needs a value")]
)
def test_wrong_use_is_said(place: Place, flags: list[str], message: str) -> None:
    done = place.install(*flags)
    assert done.code == 1
    assert message in done.err


def test_help_names_every_flag_and_its_twin(place: Place) -> None:
    text = place.install("--help").out
    for name in ("local", "state", "listen", "api-port", "ui-port", "orchestrator-port", "mlflow-port", "demo"):
        assert f"--{name}" in text
        assert f"APPLIANCE_{name.upper().replace('-', '_')}" in text


def test_a_dry_run_touches_nothing(place: Place) -> None:
    done = place.install(*place.port_flags, "--dry-run")
    assert done.code == 0, done.err
    assert "would: Installing the locked packages" in done.out
    assert "Nothing was changed." in done.out
    assert not place.base.exists()
