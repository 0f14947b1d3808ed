"""What doctor and status say of open alerts, and of processes that end again and again."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from appliance.processes.certificate import VALID_DAYS, make_certificate
from appliance.processes.doctor_alerts import check_alerts, check_labels, keeps_ending, tell_alerts, tell_restarts
from appliance.processes.report import ProcessReport
from appliance.settings import Settings
from storage.alert_rows import NewAlert, close_alert, open_alert
from storage.migrations import migrate
from storage.statedb import connect
from tests.cli.shell import Shell

NOW = datetime(2026, 3, 1, 3, 0, tzinfo=UTC)


def put_alerts(settings: Settings, *subjects: str) -> None:
    with closing(connect(settings.layout.database)) as connection:
        for hours, subject in enumerate(subjects):
            new = NewAlert(
                model="bikes" if subject == "quality" else "", subject=subject, state="alarm",
                message=f"What {subject} is.", opened_at=NOW - timedelta(hours=hours),
            )  # fmt: skip
            open_alert(connection, new)


def test_open_alerts_are_told_with_their_model_and_since_when(settings: Settings) -> None:
    with closing(connect(settings.layout.database)) as connection:
        assert [(one.state, one.message) for one in check_alerts(connection)] == [("ok", "none is open")]
        put_alerts(settings, "disk", "backup", "quality", "watch")
        close_alert(connection, "", "disk", NOW)
        (found,) = check_alerts(connection)
    assert (found.state, found.name) == ("warn", "alerts")
    assert found.message.startswith("3 open: watch since 2026-03-01 00:00: What watch is.; bikes, quality since ")
    assert "'appliance alerts show 4' says what to do" in found.fix


def test_status_has_one_line_on_open_alerts(shell: Shell) -> None:
    settings = Settings(state=shell.state)
    assert tell_alerts(settings) == ""
    put_alerts(settings, "disk", "backup")
    said = "alerts open: 2, the oldest since 2026-03-01 02:00 UTC: 'appliance alerts --open-only'"
    assert shell.run("status").out.splitlines()[-1] == said
    assert "What backup is." in shell.ok("alerts", "--open-only").out
    settings.layout.database.write_bytes(b"no database")
    assert "alerts cannot be read: " in shell.run("status").out


def test_nothing_is_said_of_alerts_where_nothing_was_ever_started(fresh: Shell) -> None:
    assert "alerts" not in fresh.run("status").out


@pytest.mark.parametrize(
    ("restarts", "minutes", "ending"), [(0, 1, False), (2, 1, False), (3, 1, True), (3, 9, True), (9, 11, False)]
)
def test_a_process_that_keeps_ending_is_told_though_it_runs(restarts: int, minutes: int, ending: bool) -> None:
    since = (NOW - timedelta(minutes=minutes)).isoformat()
    process = ProcessReport(name="api", state="running", pid=1, pss_mb=None, since=since, restarts=restarts)
    assert keeps_ending(process, NOW) is ending
    assert tell_restarts(process) == (f"ended by itself and was started again: {restarts} times" if restarts else "")


@pytest.mark.parametrize("module", ["appliance.cli.main", "appliance.nightly"])
def test_the_night_looks_at_the_certificate(shell: Shell, tmp_path: Path, module: str) -> None:
    """With systemd the timer runs the first, without it the runner the second."""
    for name, content in zip(
        ("cert", "key"),
        make_certificate(["localhost"], now=datetime.now(UTC) - timedelta(days=VALID_DAYS - 10)),
        strict=True,
    ):
        (tmp_path / name).write_bytes(content)
    settings = {
        "APPLIANCE_STATE": str(shell.state), "APPLIANCE_TLS_CERT": str(tmp_path / "cert"),
        "APPLIANCE_TLS_KEY": str(tmp_path / "key"), "APPLIANCE_BACKUP_NIGHTLY": "false",
    }  # fmt: skip
    words = ["backup", "nightly"] if module == "appliance.cli.main" else []
    subprocess.run([sys.executable, "-m", module, *words], check=True, env=os.environ | settings)
    assert f"The certificate {tmp_path / 'cert'} ends on " in shell.ok("alerts", "--open-only", "--json").out


@pytest.mark.parametrize(
    ("silent_h", "usual_h", "asked_h", "told"),
    [
        (47, 1, 0, False),  # not for two days
        (49, 1, 0, True),
        (49, 1, 60, False),  # nobody asks, either
        (49, 24, 0, False),  # 3 * 24 h
        (73, 24, 0, True),
    ],
)
def test_labels_that_stopped_are_told(
    settings: Settings, silent_h: int, usual_h: int, asked_h: int, *, told: bool
) -> None:
    arrived = int((NOW - timedelta(hours=silent_h)).timestamp())
    with closing(connect(settings.layout.database)) as connection:
        connection.execute(
            "INSERT INTO deployments (model, version, role, started_at, who, reason) "
            "VALUES ('bikes', 1, 'champion', '2026-01-01', 'test', '')"
        )
        hour = int(NOW.timestamp()) // 3600 - asked_h
        connection.execute("INSERT INTO feature_windows VALUES ('bikes', 1, 'champion', ?, 1, x'7b7d')", (hour,))
        assert check_labels(connection, NOW) == [], "it never had any"
        for number in range(3):
            event_us = (arrived - usual_h * 3600 - number) * 1_000_000
            connection.execute(
                "INSERT INTO outcomes (id, model, version, variant, event_us, output, label, label_us, arrived_us) "
                "VALUES (?, 'bikes', 1, 'champion', ?, '1', '1', 0, ?)",
                (str(number), event_us, (arrived - number) * 1_000_000),
            )
        found = check_labels(connection, NOW)
    assert [(one.name, one.state) for one in found] == ([("labels of bikes", "warn")] if told else [])
    assert all(f"none came since {datetime.fromtimestamp(arrived, UTC):%Y-%m-%d %H:%M}" in one.message for one in found)


@pytest.fixture
def settings(shell: Shell) -> Settings:
    made = Settings(state=shell.state)
    migrate(made.layout.database)
    return made
