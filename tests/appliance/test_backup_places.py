"""Backups and restores where the state's folders are not all on one disk, and nights that fail in odd ways."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest

from appliance import nightly
from appliance.backups import Backups
from appliance.cli.main import run
from appliance.settings import Settings
from appliance.upkeep_work import look_at_upkeep
from storage import restore
from storage.alert_rows import list_alerts
from storage.errors import BackupDamaged, BackupNotFound, StateUnwritable
from storage.restore import finish_swap
from storage.statedb import connect
from tests.appliance.test_backups import alerts, files, original, settings

__all__ = ["original", "settings"]


def test_a_folder_that_lies_on_another_disk_is_backed_up(settings: Settings, tmp_path: Path) -> None:
    whole = files(settings.state)
    for name in ("datasets/penguins", "models"):
        moved = tmp_path / "big" / name
        shutil.copytree(settings.state / name, moved)
        shutil.rmtree(settings.state / name)
        (settings.state / name).symlink_to(moved)
    backups = Backups(settings)
    made = backups.create(who="test")
    assert backups.verify(made.name).problems == ()
    bare = Settings(state=tmp_path / "bare")
    done = Backups(bare).restore(str(made.path), who="test")
    assert done.versions == 2
    restored = files(bare.state)
    assert {name for name in whole if name not in restored} <= {"appliance.db-wal", "appliance.db-shm"}
    assert not (bare.state / "models").is_symlink()


def test_backups_on_a_disk_that_is_absent_are_not_said_to_be_none(
    settings: Settings, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    away = settings.model_copy(update={"backup_dir": disk})
    Backups(away).create(who="test")
    assert look_at_upkeep(away, plan=False).problem == ""
    disk.rename(tmp_path / "unmounted")
    absent = rf"the folder {disk} of the setting backup_dir is not there; mount its disk"
    looks: list[Callable[[str], object]] = [
        Backups(away).verify, partial(Backups(away).restore, who="test", replace_state=True),
    ]  # fmt: skip
    for look in looks:
        with pytest.raises(BackupNotFound, match=f"there is no backup 'latest', perhaps because {absent}"):
            look("latest")
    found = look_at_upkeep(away, plan=False)
    assert found.backups == ()
    assert re.match(absent, found.problem)
    monkeypatch.setenv("APPLIANCE_STATE", str(settings.state))
    monkeypatch.setenv("APPLIANCE_BACKUP_DIR", str(disk))
    settings.layout.database.rename(tmp_path / "lost")
    assert run(["backup", "list"]) == 0, "also where the state is what was lost"
    assert re.match(absent, capsys.readouterr().err)


def test_a_link_that_leads_nowhere_is_no_good_night(settings: Settings, tmp_path: Path) -> None:
    shutil.rmtree(settings.layout.datasets / "penguins")
    (settings.layout.datasets / "penguins").symlink_to(tmp_path / "not mounted")
    with pytest.raises(StateUnwritable, match=r"penguins is a link to .*not mounted, which is not there"):
        Backups(settings).nightly()
    assert alerts(settings) == [("backup", "alarm", True)]


def test_a_version_that_serves_and_has_no_bundle_is_said(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    with closing(connect(settings.layout.database)) as connection:
        connection.execute(
            "INSERT INTO deployments (model, version, role, started_at, who, reason) "
            "VALUES ('m', 7, 'champion', '2026-01-01T00:00:00+00:00', 'ann', '')"
        )
        connection.commit()
    monkeypatch.setenv("APPLIANCE_STATE", str(settings.state))
    assert nightly.main() == nightly.NOT_GOOD, "it was made: another one in an hour would push good ones out"
    backups = Backups(settings)
    proof = backups.verify("latest")
    assert proof.problems == ("version 7 of m stands as the champion, and the backup has no bundle of it",)
    with pytest.raises(BackupDamaged, match="version 7 of m"):
        backups.restore("latest", who="test", replace_state=True)


def unprivileged_night(settings: Settings) -> subprocess.CompletedProcess[str]:
    """A night as everybody but root has it."""
    code = (
        "from pathlib import Path; from appliance.backups import Backups; from appliance.settings import Settings\n"
        "from tests.unprivileged import drop_capabilities\n"
        f"drop_capabilities(); Backups(Settings(state=Path({str(settings.state)!r}))).nightly()"
    )
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    return subprocess.run(
        [sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120, env=here
    )


SOMEBODY, MEMBERS = 12345, 12346
AS_SOMEBODY = f"""
import os
from pathlib import Path
from appliance.backups import find_folder_problem
from appliance.settings import Settings
try:
    os.setgroups([{MEMBERS}])
    os.setgid({SOMEBODY})
    os.setuid({SOMEBODY})
except OSError:
    raise SystemExit(77)
print(find_folder_problem(Settings(state=Path("state"), backup_dir=Path("disk"), systemd=True)))
"""


@pytest.mark.parametrize(
    ("group", "mode", "said"),
    [
        (MEMBERS, 0o770, ""),
        (MEMBERS, 0o750, "may not write into disk"),
        (MEMBERS, 0o720, "may not write into disk"),
        (0, 0o770, "may not write into disk"),
        (SOMEBODY, 0o770, ""),
        (0, 0o777, ""),
    ],
)
def test_a_folder_of_a_group_of_ones_own_takes_backups(tmp_path: Path, group: int, mode: int, said: str) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a folder away needs root")
    for name in ("state", "disk"):
        (tmp_path / name).mkdir()
    os.chown(tmp_path / "state", SOMEBODY, SOMEBODY)
    os.chown(tmp_path / "disk", 0, group)
    (tmp_path / "disk").chmod(mode)
    tmp_path.chmod(0o755)  # where the other user stands; what lies above is closed to him
    here = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", AS_SOMEBODY], check=False, capture_output=True, text=True, cwd=tmp_path, env=here
    )
    if done.returncode == 77:
        pytest.skip("no other user can be had here")
    assert done.returncode == 0, done.stderr
    assert said in done.stdout
    assert bool(done.stdout.strip()) == bool(said)


def test_what_a_file_system_keeps_for_itself_is_left_alone(settings: Settings, tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    shutil.copytree(settings.layout.datasets, disk)
    shutil.rmtree(settings.layout.datasets)
    settings.layout.datasets.symlink_to(disk)
    own = settings.state / "lost+found"
    for folder in (own, disk / "lost+found"):
        folder.mkdir(mode=0)
    night = unprivileged_night(settings)
    assert night.returncode == 0, night.stderr
    assert alerts(settings) == []
    done = Backups(settings).restore("latest", who="test", replace_state=True)
    assert own.is_dir()
    assert done.aside is not None
    assert not (done.aside / "lost+found").exists()


def test_a_night_that_cannot_read_a_folder_is_told(settings: Settings) -> None:
    (settings.layout.specs / "closed").mkdir(mode=0)
    assert "PermissionError" in unprivileged_night(settings).stderr
    assert alerts(settings) == [("backup", "alarm", True)]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
def test_a_folder_that_is_a_disk_of_its_own_is_said_before_anything_is_touched(settings: Settings) -> None:
    Backups(settings).create(who="test")
    disk = settings.layout.history
    disk.mkdir(exist_ok=True)
    mounted = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(disk)], check=False, capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("this host does not let us mount")
    before = files(settings.state)
    try:
        with pytest.raises(StateUnwritable, match=r"history: a disk of its own.* nothing was touched"):
            Backups(settings).restore("latest", who="test", replace_state=True)
        assert files(settings.state) == before
        assert not list(settings.layout.tmp.glob("restore-*"))
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)
    assert Backups(settings).restore("latest", who="test", replace_state=True).versions == 2


def test_a_restore_that_cannot_go_on_keeps_what_it_still_has_to_put_in_place(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    Backups(settings).create(who="test")
    really = restore._move

    def stuck(source: Path, target: Path) -> None:
        if source.name == "models":
            raise OSError(16, "Device or resource busy")
        really(source, target)

    monkeypatch.setattr(restore, "_move", stuck)
    with pytest.raises(StateUnwritable, match=r"busy; mend that and run 'appliance migrate'"):
        Backups(settings).restore("latest", who="test", replace_state=True)
    (staging,) = settings.layout.tmp.glob("restore-*")
    assert (staging / "models").is_dir()
    monkeypatch.undo()
    kept = staging.rename(staging.with_name("elsewhere"))
    with pytest.raises(StateUnwritable, match=r"put in place is gone: .*models"):
        finish_swap(settings.layout)
    kept.rename(staging)
    assert finish_swap(settings.layout)
    assert {path.name for path in (settings.layout.models / "m").iterdir()} >= {"1", "2"}


def test_the_alert_on_a_night_that_failed_says_what_there_is_to_go_back_to(settings: Settings) -> None:
    broken = settings.layout.models / "m" / "1" / "model.txt"
    content = broken.read_bytes()
    backups = Backups(settings)

    def fail() -> str:
        broken.write_bytes(content[:-200])
        with pytest.raises(BackupDamaged):
            backups.nightly()
        broken.write_bytes(content)
        with closing(connect(settings.layout.database)) as connection:
            (alert,) = list_alerts(connection, open_only=True)
        return alert.message

    message = fail()
    assert message.startswith("The nightly backup failed: the backup ")
    assert message.endswith(". There is none to go back to.")
    backups.nightly()
    good = backups.list()[0].created_at
    wanted = f"The last good one is of {good:%Y-%m-%d %H:%M} UTC: what came since is lost if the disk is."
    assert fail().endswith(wanted)
    backups.nightly()
    backups.list()[0].path.with_name("20200101T000000Z.backup").symlink_to("gone")
    with pytest.raises(FileNotFoundError):
        backups.nightly()
    with closing(connect(settings.layout.database)) as connection:
        (alert,) = list_alerts(connection, open_only=True)
    assert alert.message.endswith(". Those of before cannot be looked at: No such file or directory.")
