"""Each thing that can go wrong with a state is a line of doctor with a way out, and doctor itself never fails."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from appliance.backups import Backups
from appliance.clock import is_synchronised
from appliance.processes.check import Check
from appliance.processes.doctor import run_checks
from appliance.processes.doctor_state import check_permissions
from appliance.processes.release_journal import Files
from appliance.processes.roster import roster
from appliance.settings import Settings
from storage.backups import list_backups, write_notes
from storage.errors import StateUnwritable
from storage.eventlog import EventWriter
from storage.statedb import connect, transaction
from storage.window_rows import Heartbeat, put_heartbeat
from tests.training.state import new_appliance


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return new_appliance(tmp_path / "state").settings


def look(settings: Settings, name: str) -> Check:
    (found,) = [check for check in run_checks(settings) if check.name == name]
    return found


def test_a_fresh_state_is_well(settings: Settings) -> None:
    for name in ("state", "disk", "libgomp", "database", "backup", "clock", "lag", "event log", "address"):
        assert look(settings, name).state == "ok", name
    assert "the first night is still to come" in look(settings, "backup").message
    assert [check.name for check in run_checks(settings) if check.name == "interrupted"] == []


def break_pages(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[4096:] = os.urandom(len(content) - 4096)
    path.write_bytes(content)


@pytest.mark.parametrize(
    "damage",
    [break_pages, lambda path: path.write_bytes(b"no database at all" * 500), lambda path: path.write_bytes(b"")],
    ids=["broken pages", "something else", "empty"],
)
def test_a_broken_database_is_named_with_the_way_out(settings: Settings, damage: Callable[[Path], object]) -> None:
    damage(settings.layout.database)
    found = look(settings, "database")
    assert found.state == "fail"
    assert "appliance.db" in found.message
    assert "'appliance backup restore --replace'" in found.fix or "run 'appliance migrate'" in found.fix


def test_a_broken_database_of_mlflow_or_prefect_is_named_too(settings: Settings) -> None:
    for name in ("mlflow/mlflow.db", "prefect/prefect.db"):
        (settings.state / name).write_bytes(b"x" * 8192)
    assert look(settings, "database of mlflow").state == "fail"
    assert look(settings, "database of prefect").state == "fail"
    assert look(settings, "database").state == "ok"


def test_a_missing_database_and_another_schema_are_told_apart(settings: Settings) -> None:
    with closing(sqlite3.connect(settings.layout.database)) as connection:
        connection.execute("PRAGMA user_version = 99")
    assert "has schema 99, this release needs" in look(settings, "database").message
    settings.layout.database.unlink()
    assert "does not exist" in look(settings, "database").message


def test_a_clock_that_was_set_back_shows(settings: Settings) -> None:
    later = datetime.now(UTC) + timedelta(hours=2)
    with closing(connect(settings.layout.database)) as connection, transaction(connection):
        put_heartbeat(connection, "watch", Heartbeat(at=later, detail=""))
    found = look(settings, "clock")
    assert (found.state, "it was set back" in found.message, "timedatectl" in found.fix) == ("fail", True, True)


def test_whether_a_time_server_keeps_the_clock_right_is_said(settings: Settings) -> None:
    kept = {True: "a time server keeps it right", False: "no time server keeps it right", None: "written later"}
    assert kept[is_synchronised()] in look(settings, "clock").message


def test_an_address_whose_interface_is_gone_shows(tmp_path: Path) -> None:
    settings = new_appliance(tmp_path / "state", listen="192.0.2.1").settings
    found = look(settings, "address")
    assert found.state == "fail"
    assert "192.0.2.1" in found.message
    assert "bring the interface up" in found.fix
    for service in roster(settings):
        assert look(settings, service.name).message == "stopped", "each process keeps a line of its own"


def test_secrets_that_others_may_read_show(settings: Settings) -> None:
    settings.layout.secret.chmod(0o644)
    found = look(settings, "state")
    assert (found.state, found.fix) == ("fail", f"run 'chmod 600 {settings.layout.secret}'")


def test_a_strangers_file_shows(settings: Settings) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    os.chown(settings.layout.specs, 12345, 12345)
    found = look(settings, "state")
    assert (found.state, "belongs to uid 12345" in found.message, "chown -R" in found.fix) == ("fail", True, True)


def test_what_comes_and_goes_meanwhile_is_no_fault_of_the_state(settings: Settings) -> None:
    ended = threading.Event()

    def come_and_go() -> None:
        while not ended.is_set():
            for name in ("upload-1", "upload-2", "upload-3"):
                (settings.layout.tmp / name).mkdir()
            for name in ("upload-1", "upload-2", "upload-3"):
                (settings.layout.tmp / name).rmdir()

    others = threading.Thread(target=come_and_go)
    others.start()
    try:
        assert {check.state for _ in range(300) for check in check_permissions(settings)} == {"ok"}
    finally:
        ended.set()
        others.join()


def test_our_own_processes_are_asked_past_every_proxy(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    class Well(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_request(self, code: object = "-", size: object = "-") -> None:
            """Nobody reads it."""

    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    with ThreadingHTTPServer(("127.0.0.1", 0), Well) as server:
        threading.Thread(target=server.serve_forever).start()
        found = look(settings.model_copy(update={"api_port": server.server_port}), "api answers")
        server.shutdown()
    assert found.state == "ok", found.message


def test_an_appliance_of_days_without_a_proved_backup_fails(settings: Settings) -> None:
    for days, state in ((1, "ok"), (2, "warn"), (5, "fail")):
        at = (datetime.now(UTC) - timedelta(days=days)).timestamp()
        os.utime(settings.layout.secret, (at, at))
        (settings.state / "lately").touch()  # as each database does that is opened and closed
        assert look(settings, "backup").state == state


def test_events_that_nobody_counts_show(settings: Settings) -> None:
    writer = EventWriter(settings.layout.events / "predictions")
    for _ in range(70):
        writer.append(b'{"id":"' + b"x" * (1 << 20) + b'"}')
    writer.close()
    found = look(settings, "lag")
    assert (found.state, "73.4 MB of the event log wait" in found.message) == ("warn", True)


@pytest.mark.parametrize(("age_h", "state"), [(1, "ok"), (35, "ok"), (37, "warn"), (95, "warn"), (97, "fail")])
def test_the_age_of_the_last_proved_backup_counts(settings: Settings, age_h: float, state: str) -> None:
    backups = Backups(settings)
    made = backups.create(who="t")
    assert look(settings, "backup").state == "warn", "written is not proved"
    backups.verify(made.name)
    (backup,) = list_backups(settings.backups)
    at = (datetime.now(UTC) - timedelta(hours=age_h)).isoformat()
    write_notes(backup.path, msgspec.structs.replace(backup.notes, created_at=at))
    assert look(settings, "backup").state == state


def test_a_backup_disk_that_is_absent_takes_no_backup_and_shows(settings: Settings, tmp_path: Path) -> None:
    """Written beneath its mount point, it would be on the disk that it shall outlive."""
    folder = tmp_path / "disk"
    units = settings.model_copy(update={"backup_dir": folder, "systemd": True})
    with pytest.raises(StateUnwritable, match=f"no backup was made: the folder {folder} .* is not there; mount its"):
        Backups(units).create(who="t")
    assert not folder.exists()
    found = look(units, "backup")
    assert (found.state, f"the folder {folder}" in found.message) == ("fail", True)
    folder.mkdir()
    assert Backups(units).create(who="t").path.parent == folder
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    os.chown(folder, 12345, 12345)
    folder.chmod(0o750)
    with pytest.raises(StateUnwritable, match=r"may not write into .*; is its disk mounted"):
        Backups(units).create(who="t")
    assert look(units, "backup").state == "fail"
    folder.chmod(0o757)
    assert look(units, "backup").state != "fail"


def test_a_newest_backup_that_is_not_good_shows_beside_an_older_one_that_is(settings: Settings) -> None:
    backups = Backups(settings)
    for _ in range(2):
        backups.verify(backups.create(who="t").name)
    newest = list_backups(settings.backups)[0]
    newest.path.write_bytes(newest.path.read_bytes()[:-50])
    backups.verify(newest.name)
    found = look(settings, "backup")
    assert (found.state, f"{newest.name} is not good" in found.message) == ("warn", True)
    assert found.fix == "mend what it names, then run 'appliance backup create'"


def test_a_broken_database_of_prefect_costs_no_restore(settings: Settings) -> None:
    path = settings.state / "prefect" / "prefect.db"
    path.parent.mkdir(exist_ok=True)
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript("CREATE TABLE t (x); INSERT INTO t VALUES (zeroblob(100000));")
    break_pages(path)
    found = look(settings, "database of prefect")
    assert (found.state, f"move {path}* elsewhere" in found.fix, "restore" in found.fix) == ("fail", True, False)


def test_an_upgrade_that_was_interrupted_shows(settings: Settings) -> None:
    Files(settings.layout, settings.state).begin("1", "2", ran=True, began_at="2030-01-01T00:00:00+00:00")
    found = look(settings, "interrupted")
    assert (found.state, "from release 1 to 2" in found.message) == ("warn", True)


def test_no_state_at_all_is_said(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "nowhere")
    assert "does not exist" in look(settings, "state").message
    assert "does not exist" in look(settings, "database").message
