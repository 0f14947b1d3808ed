"""What doctor says of the event log, from the counts that the API's workers share."""

from __future__ import annotations

import os
import socket
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.processes import doctor
from appliance.processes.check import Check
from appliance.processes.doctor import run_checks
from appliance.processes.roster import roster
from appliance.serving.counts import Counts
from appliance.settings import Settings
from storage.migrations import migrate
from storage.statedb import connect, transaction
from storage.window_rows import Heartbeat, add_faults, put_heartbeat
from tests.served_api import free_port
from tests.ui.dashboard import serve_dashboard


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(state=tmp_path / "state")
    made.layout.create()
    migrate(made.layout.database)
    return made


def look(settings: Settings, name: str) -> Check:
    (found,) = [check for check in run_checks(settings) if check.name == name]
    return found


def test_an_event_log_that_cannot_be_written_fails_until_it_can(settings: Settings) -> None:
    assert look(settings, "event log").state == "ok"
    counts = Counts(settings.layout.run / "api-counts", 0)
    counts.series("m", 1).count_lost(3)
    counts.series("", 0).note_capture(off=True)
    found = look(settings, "event log")
    assert found.state == "fail"
    assert "1 workers of the API cannot write it; 3 predictions were answered and not recorded" in found.message
    assert "free space" in found.fix
    counts.series("", 0).note_capture(off=False)
    found = look(settings, "event log")
    assert (found.state, "3 predictions" in found.message) == ("warn", True)


def test_the_doors_of_mlflow_and_prefect_ask_for_a_login(tmp_path: Path) -> None:
    mlflow, prefect = free_port(), free_port()
    extra = {"APPLIANCE_UI_MLFLOW_PORT": str(mlflow), "APPLIANCE_UI_PREFECT_PORT": str(prefect)}
    with serve_dashboard(tmp_path / "state", extra) as dashboard:
        ours = Settings(state=dashboard.state, ui_port=dashboard.port, ui_mlflow_port=mlflow, ui_prefect_port=prefect)
        for name in ("MLflow", "Prefect"):
            found = look(ours, f"{name} behind the login")
            assert (found.state, "asks for a login" in found.message) == ("ok", True)
        # The dashboard itself is something else on that port.
        found = look(ours.model_copy(update={"ui_mlflow_port": dashboard.port}), "MLflow behind the login")
        assert (found.state, "something else answers" in found.message) == ("fail", True)
        assert "APPLIANCE_UI_MLFLOW_PORT" in found.fix
    found = look(ours, "Prefect behind the login")
    assert (found.state, found.message) == ("fail", f"nothing listens on port {prefect}")
    without = ours.model_copy(update={"ui_prefect_port": 0})
    assert "Prefect behind the login" not in {check.name for check in run_checks(without)}


def test_a_port_that_another_program_took_is_named_with_the_program(settings: Settings) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ours = settings.model_copy(update={"ui_port": port})
        found = look(ours, "ui")
        assert (found.state, found.code) == ("fail", "E009")
        assert f"stopped: port {port} is taken by " in found.message
        assert f"(pid {os.getpid()})" in found.message
        assert "./install.sh --ui-port" in found.fix
        assert "'appliance up --detach' starts" in found.fix, "without systemd nothing tries again"
        units = settings.model_copy(update={"api_port": port, "systemd": True})
        (api,) = [one for one in roster(units) if one.name == "api"]
        assert doctor._find_taken(units, api, "stopped"), "neither does systemd hold it"
        assert doctor._find_taken(units, api, "restarting") is None, "it is systemd's"
    found = look(ours, "ui")
    assert (found.message, found.code) == ("stopped", "")


def test_torn_lines_are_told(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        add_faults(connection, "2026-01-01", {"torn": 1, "undecodable": 2, "label_unmatched": 5})
    assert "3 lines were skipped" in look(settings, "event log").message


def test_the_compaction_runs_when_there_is_something_to_do(settings: Settings) -> None:
    old = Heartbeat(at=datetime.now(UTC) - timedelta(hours=1), detail="")
    with closing(connect(settings.layout.database)) as connection:
        for name in ("watch", "compaction"):
            put_heartbeat(connection, name, old)
    assert look(settings, "heartbeat of compaction").state == "ok"
    assert look(settings, "heartbeat of watch").state == "fail"
