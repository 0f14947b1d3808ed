"""Where the passphrase of backups comes from; where a host has one, nothing is made in clear."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.backups import Backups
from appliance.errors import BadInput
from appliance.house import Appliance
from appliance.passphrase import find_passphrase, find_seal, is_sealing
from appliance.settings import Settings
from storage.migrations import migrate
from tests.install.place import ROOT


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of units, with a settings file."""
    made = Settings(state=tmp_path / "state", systemd=True)
    made.layout.create()
    migrate(made.layout.database)
    (tmp_path / "etc").mkdir(mode=0o755)
    (tmp_path / "etc" / "appliance.toml").touch()
    monkeypatch.setenv("APPLIANCE_CONFIG", str(tmp_path / "etc" / "appliance.toml"))
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    return made


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_it_comes_from_where_it_was_put(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (find_passphrase(settings), find_seal(settings), is_sealing(settings)) == (None, None, False)
    write(tmp_path / "etc" / "backup-passphrase", "of the host\n")
    assert (find_seal(settings), is_sealing(settings)) == ("of the host", True)
    configured = settings.model_copy(update={"backup_passphrase_file": write(tmp_path / "one", "first\nsecond\n")})
    assert find_passphrase(configured) == "first"
    write(tmp_path / "credentials" / "backup-passphrase", "of systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    assert find_seal(configured) == "of systemd"
    assert find_seal(configured, tmp_path / "one") == "first"
    (tmp_path / "empty").touch()
    for name, said in (("empty", "is empty"), ("nowhere", "cannot be read")):
        with pytest.raises(BadInput, match=said):
            find_passphrase(settings, tmp_path / name)


def test_once_its_file_is_gone_nothing_is_made_in_clear_until_the_installer_has_run(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.passphrase.HANDED_OVER", tmp_path / "20-passphrase.conf")
    assert find_seal(settings) is None, "there never was one"
    (tmp_path / "20-passphrase.conf").touch()
    with pytest.raises(
        BadInput, match=r"no backup was made: the file of the passphrase .* is gone; put it back, or run"
    ):
        find_seal(settings)
    assert find_passphrase(settings) is None, "those in clear can be read"
    assert find_seal(settings.model_copy(update={"systemd": False})) is None
    (tmp_path / "20-passphrase.conf").unlink()
    assert find_seal(settings) is None


def test_without_units_only_the_setting_names_one(settings: Settings, tmp_path: Path) -> None:
    write(tmp_path / "etc" / "backup-passphrase", "of the host\n")
    local = settings.model_copy(update={"systemd": False})
    assert (find_seal(local), is_sealing(local)) == (None, False)


def test_a_backup_of_the_dashboard_is_sealed_with_what_systemd_handed_over(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "credentials" / "backup-passphrase", "of systemd\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    appliance = Appliance(settings, apart=True)
    try:
        made = appliance.upkeep.back_up(who="ann")
        (line,) = appliance.upkeep.look(plan=False).backups
    finally:
        appliance.close()
    assert (made.problems, line.name, line.sealed) == ((), made.name, True)
    assert Backups(settings).verify(made.name, passphrase="of systemd").problems == ()


def test_a_passphrase_that_was_there_too_late_refuses_the_backup(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the unit's drop-in leaves it where the file is gone: an empty line."""
    write(tmp_path / "credentials" / "backup-passphrase", "\n")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "credentials"))
    with pytest.raises(BadInput, match=r"was not there, or empty.*run './install\.sh' again"):
        Backups(settings).nightly()
    assert Backups(settings).list() == []
    assert is_sealing(settings)


def test_a_passphrase_that_was_not_handed_over_refuses_the_backup(settings: Settings, tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("giving a file away needs root")
    path = write(tmp_path / "etc" / "backup-passphrase", "of the host\n")
    path.chmod(0o600)
    os.chown(path, 12345, 12345)  # read by nobody who is not its owner and has no privileges
    program = (
        "from appliance.errors import BadInput\n"
        "from appliance.passphrase import find_passphrase, find_seal, is_sealing\n"
        "from appliance.settings import Settings\n"
        "settings = Settings(systemd=True)\n"
        "assert is_sealing(settings) and find_passphrase(settings) is None\n"
        "try:\n    find_seal(settings)\nexcept BadInput as exc:\n    print(exc)\n"
    )
    done = subprocess.run(
        ["setpriv", "--bounding-set=-dac_override,-dac_read_search", sys.executable, "-P", "-c", program],
        capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"no backup was made: {path} is there to seal it" in done.stdout
    assert "run './install.sh' again, which hands it over" in done.stdout
    assert find_seal(settings) == "of the host", "root's own commands read it"
