"""A key of the settings file that this release does not know: told, and stops nothing."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli.main import run
from appliance.errors import BadSetting
from appliance.processes.doctor import run_checks
from appliance.settings import Settings, load_settings
from appliance.settings_file import describe_stranger


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "appliance.toml"
    monkeypatch.setenv("APPLIANCE_CONFIG", str(path))
    return path


def test_what_a_newer_release_wrote_is_left_out_and_logged(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("quantum_cores = 3\napi_port = 8123\n[nested]\nx = 1\n")
    with caplog.at_level(logging.WARNING):
        assert load_settings().api_port == 8123
    assert [record.getMessage() for record in caplog.records] == [
        f"settings file {file}: {name!r} is left out, this release has no such setting (a newer release may)"
        for name in ("quantum_cores", "nested")
    ]


def test_a_slip_of_the_pen_is_told_with_what_was_meant(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text("api_prt = 8123\n")
    with caplog.at_level(logging.WARNING):
        load_settings()
    assert "'api_prt' is left out, this release has no such setting; did you mean 'api_port'?" in caplog.text


def test_doctor_warns_of_it(file: Path, tmp_path: Path) -> None:
    file.write_text("histroy_days = 3\n")
    found = [check for check in run_checks(Settings(state=tmp_path)) if check.name == "settings"]
    assert [(check.state, "'history_days'" in check.message) for check in found] == [("warn", True)]
    file.write_text("history_days = 3\n")
    found = [check for check in run_checks(Settings(state=tmp_path)) if check.name == "settings"]
    assert [check.state for check in found] == ["ok"]


def test_a_bad_value_still_stops(file: Path) -> None:
    file.write_text('api_port = "x"\n')
    with pytest.raises(BadSetting, match="api_port"):
        load_settings()


def test_a_bad_value_is_said_with_where_it_stands(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text('api_workers = "many"\n')
    with pytest.raises(BadSetting, match=rf"api_workers: .* \(in {file}\)"):
        load_settings()
    monkeypatch.setenv("APPLIANCE_API_WORKERS", "few")
    with pytest.raises(BadSetting, match=r"api_workers: .* \(in APPLIANCE_API_WORKERS\)"):
        load_settings()


def test_doctor_says_what_to_do_about_settings_that_cannot_be_read(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for text, said in (("ui_port = = 3\n", "line 1"), ('api_workers = "many"\n', "api_workers")):
        file.write_text(text)
        assert run(["doctor", "--json"]) == 3
        (check,) = json.loads(capsys.readouterr().out)["checks"]
        assert (check["name"], check["state"], said in check["message"]) == ("settings", "fail", True)
        assert "what runs goes on with what it read before" in check["fix"]


def test_a_file_that_this_user_may_not_read_says_who_may(file: Path) -> None:
    file.write_text("")
    file.chmod(0)
    line = "from tests.unprivileged import *; from appliance.cli.main import run; drop_capabilities(); run(['{}'])"
    said = {
        verb: subprocess.run([sys.executable, "-c", line.format(verb)], capture_output=True, text=True, check=True)
        for verb in ("status", "doctor")
    }
    sentence = f"settings file {file} may not be read by this user; run the command as root, or with sudo"
    assert said["status"].stderr == f"appliance: {sentence}\n"
    assert said["doctor"].stdout == f"FAIL  settings: {sentence}\n      run 'sudo appliance doctor'\n"


def test_a_flag_that_is_no_setting_still_stops(file: Path) -> None:
    file.write_text("")
    with pytest.raises(BadSetting, match="api_prt"):
        load_settings(api_prt=8123)


def test_a_key_like_nothing_is_not_guessed_at() -> None:
    assert "did you mean" not in describe_stranger("zzz", Settings.model_fields)
