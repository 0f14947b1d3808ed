"""Every verb is there, every wrong use ends in one sentence and a documented exit code."""

from __future__ import annotations

import importlib
import os
import stat
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from appliance.cli.main import VERBS
from tests.cli.shell import Shell

PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"


def test_every_verb_leads_somewhere() -> None:
    for _, target, _, text in VERBS:
        module, _, function = target.partition(":")
        assert hasattr(importlib.import_module(f"appliance.cli.{module}"), function), target
        assert text.endswith(".")


def test_help_names_every_verb_and_the_exit_codes(fresh: Shell) -> None:
    text = fresh.ok("--help").out
    for name, _, _, _ in VERBS:
        assert name in text
    assert "Exit codes: 0 done, 1 cannot be done as asked" in text


def test_migrate_makes_private_secrets_and_twice_changes_nothing(shell: Shell) -> None:
    before = {path: path.read_bytes() for path in (shell.state / "secret", shell.state / "admin-password")}
    for path in before:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shell.ok("migrate")
    assert before == {path: path.read_bytes() for path in before}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["bogus"], 1, 'Unknown command "bogus"'),
        (["train"], 1, "requires an argument"),
        (["data", "add", "penguins"], 1, "--source requires an argument"),
        (["models", "--state"], 1, "--state needs a value"),
        (["--state", "/nowhere/at/all", "models"], 3, "there is no appliance in /nowhere/at/all; run 'appliance up'"),
        (["data", "show", "nothing"], 1, "'nothing'"),
        (["data", "add", "penguins", "/nowhere.csv"], 1, "/nowhere.csv"),
        (["data", "add", "p", "/x.csv", "--append", "--replace"], 1, "--append and --replace exclude each other"),
        (["data", "add", "p", "/x.csv", "--type", "zip=text"], 1, "--type 'zip=text' is no COLUMN=TYPE"),
        (["data", "add", "p", "/x.csv", "--evolve"], 1, "--evolve goes with --append"),
        (["data", "add", "p", "mysql://u:p@h/d"], 1, "addresses begin with http, https or postgresql"),
        (["data", "refresh", "nothing"], 1, "there is no dataset 'nothing'"),
        (["data", "rules", "p", "/nowhere.toml"], 1, "/nowhere.toml cannot be read"),
        (["data", "rejected", "nothing"], 1, "there is no dataset 'nothing'"),
        (["data", "watch", "p", "/nowhere"], 1, "cannot watch /nowhere"),
        (["data", "feeds", "--stop", "nothing"], 1, "'nothing' has no feed"),
        (["card", "nothing"], 1, "nothing"),
        (["drift", "nothing", "--window", "soon"], 1, "soon"),
        (["serve", "nothing"], 1, "choose one of api, ui, orchestrator, runner, mlflow, tls"),
        (["logs", "nothing"], 1, "there is no process 'nothing'"),
        (["logs", "backup"], 1, "choose one of api, ui, orchestrator, runner, mlflow, tls, supervisor"),
        (["logs", "--priority", "err"], 1, "--priority needs the journal"),
        (["logs", "--since", "2h"], 1, "--since needs the journal"),
        (["user", "add", "ann", "--role", "viewer"], 1, "use --password-file FILE (or '-'), or --generate"),
        (["predict", "nothing", "/nowhere.csv"], 1, "there is no file /nowhere.csv"),
        (["key", "create", "k", "--scope", "everything"], 1, "everything"),
        (["backup", "verify", "nothing"], 1, "there is no backup 'nothing' in"),
        (["backup", "create", "--passphrase-file", "/nowhere"], 1, "the passphrase file /nowhere cannot be read"),
        (["status"], 3, ""),
        (["down"], 0, ""),
    ],
)
def test_wrong_use_is_one_sentence(fresh: Shell, arguments: list[str], code: int, message: str) -> None:
    done = fresh.run(*arguments)
    assert (done.code, message in " ".join(done.err.split())) == (code, True), done.err


def test_a_bad_setting_is_named(fresh: Shell) -> None:
    done = Shell(state=fresh.state, environment={"APPLIANCE_API_PORT": "99999"}).run("status")
    assert done.code == 1
    assert "api_port" in done.err


def test_a_settings_file_that_is_no_utf8_is_said(fresh: Shell, tmp_path: Path) -> None:
    config = tmp_path / "appliance.toml"
    config.write_text('# f\xfcr die Bank\nlisten = "127.0.0.1"\n', encoding="latin-1")
    done = replace(fresh, environment={"APPLIANCE_CONFIG": str(config)}).run("models")
    assert done.code == 1
    assert f"appliance: settings file {config}: " in done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    "words",
    ["drift-compare {} {}", "bundle import {}", "backup verify {}", "backup restore {} --replace", "predict m {}"],
)
def test_what_may_not_be_looked_at_is_no_fault_of_the_program(shell: Shell, tmp_path: Path, words: str) -> None:
    folder = tmp_path / "locked"
    folder.mkdir()
    (folder / "p.csv").write_bytes(PENGUINS.read_bytes())
    folder.chmod(0)
    try:
        done = replace(shell, is_somebody=True).run(*words.replace("{}", str(folder / "p.csv")).split())
    finally:
        folder.chmod(0o700)
    assert done.code == 1
    assert f"{folder}/p.csv may not be used by this user (Permission denied); run the command as" in done.err
    assert "fault of the program" not in done.err


def test_a_password_file_that_is_no_utf8_is_said(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("gr\xfc\xdfe an alle\n", encoding="latin-1")
    done = shell.run("user", "add", "ann", "--role", "viewer", "--password-file", str(file))
    assert (done.code, f"cannot read the password file {file}" in done.err) == (1, True), done.err


def test_datasets_from_a_file_to_their_difference(shell: Shell) -> None:
    added = shell.ok("data", "add", "penguins", str(PENGUINS), "--json").json()
    assert (added["dataset"], added["version"], added["rows"]) == ("penguins", 1, 344)
    assert all({"column", "code", "message"} <= set(warning) for warning in added["warnings"])
    query = "SELECT * FROM source WHERE island = 'Dream'"
    shell.ok("data", "add", "texts", str(PENGUINS), "--type", "body_mass_g=string", "--type", "sex=string")
    columns = shell.ok("data", "show", "texts", "--json").json()["columns"]
    assert {one["name"]: one["dtype"] for one in columns}["body_mass_g"] == "string"
    shell.ok("data", "add", "penguins", str(PENGUINS), "--query", query)
    assert [one["version"] for one in shell.ok("data", "versions", "penguins", "--json").json()["versions"]] == [2, 1]
    assert shell.ok("data", "list", "--json").json()["datasets"][0]["version"] == 2
    assert shell.ok("data", "diff", "penguins", "1", "2", "--json").json()["rows"] == [344, 124]
    assert "distributions: " in shell.ok("data", "diff", "penguins", "1", "2").out
    shell.ok("data", "refresh", "penguins")
    assert shell.ok("data", "refresh", "penguins", "--json").json()["unchanged"] is True
    shown = shell.ok("data", "show", "penguins", "--version", "1", "--json").json()
    assert shown["snapshot"]["rows"] == 344
    assert "species" in [column["name"] for column in shown["columns"]]
    assert shown["warnings"] == added["warnings"]
    told = shell.ok("data", "show", "penguins").out
    assert "Dream" in told
    assert "'island' are 'Dream'" in told, "what is suspicious about this version"


def test_rules_of_a_dataset_and_the_rows_that_they_rejected(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").write_text("[columns.bill_length_mm]\nmin = 33\n")
    assert "has no rules" in shell.ok("data", "rules", "penguins").out
    assert "bill_length_mm: min 33" in shell.ok("data", "rules", "penguins", str(tmp_path / "rules.toml")).out
    assert "1 row was rejected" in shell.ok("data", "add", "penguins", str(PENGUINS)).out
    apart = shell.ok("data", "rejected", "penguins", "--json").json()
    assert (apart["rejected"], apart["rows"][0]["_reason"]) == (1, "bill_length_mm: 32.1 is below 33")
    assert "32.1 is below 33" in shell.ok("data", "rejected", "penguins").out
    assert "has no rules" in shell.ok("data", "rules", "penguins", "--clear").out


def test_a_schedule_and_a_watched_folder(shell: Shell, tmp_path: Path) -> None:
    shell.ok("data", "add", "penguins", str(PENGUINS))
    assert (
        "is refreshed by 0 6 * * *, next at " in shell.ok("data", "refresh", "penguins", "--schedule", "0 6 * * *").out
    )
    (tmp_path / "drop").mkdir()
    assert "dataset sales watches " in shell.ok("data", "watch", "sales", str(tmp_path / "drop")).out
    found = shell.ok("data", "feeds", "--json").json()["feeds"]
    assert [(one["dataset"], one["feed"].get("folder")) for one in found] == [
        ("penguins", None), ("sales", str(tmp_path / "drop")),
    ]  # fmt: skip
    assert "penguins" not in shell.ok("data", "feeds", "--stop", "penguins").out


def test_without_nightly_backups_the_night_lets_go_what_is_kept_no_longer_all_the_same(shell: Shell) -> None:
    scratch = shell.state / "tmp" / "left"
    scratch.touch()
    os.utime(scratch, (0, 0))
    done = replace(shell, environment={"APPLIANCE_BACKUP_NIGHTLY": "false"}).ok("backup", "nightly")
    assert "no backup is made, since backup_nightly = false; what is kept no longer went: 1" in done.err
    assert not scratch.exists()
    assert shell.ok("backup", "list", "--json").json()["backups"] == []


def test_a_state_goes_into_a_sealed_backup_and_comes_out_of_it(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "passphrase").write_text("of the test\n")
    sealed = ("--passphrase-file", str(tmp_path / "passphrase"))
    shell.ok("data", "add", "penguins", str(PENGUINS))
    made = shell.ok("backup", "create", *sealed, "--json").json()
    assert (made["sealed"], made["proof"]["problems"]) == (True, [])
    assert shell.ok("backup", "list", "--json").json()["backups"][0]["name"] == made["backup"]
    assert "give its passphrase" in shell.run("backup", "verify").err
    assert "good: " in shell.ok("backup", "verify", *sealed).out
    assert "--replace puts the backup in its place" in shell.run("backup", "restore", *sealed).err
    shell.ok("data", "add", "penguins", str(PENGUINS))
    assert "restored" in shell.ok("backup", "restore", "--replace", *sealed).out
    assert [one["version"] for one in shell.ok("data", "versions", "penguins", "--json").json()["versions"]] == [1]


def test_two_files_are_held_against_each_other(shell: Shell, tmp_path: Path) -> None:
    report = shell.ok("drift-compare", str(PENGUINS), str(PENGUINS), "--json").json()
    assert report["rows"] == {"reference": 344, "current": 344}
    assert report["dataset"] == {**report["dataset"], "state": "ok", "drifted_share": 0.0}
    column = report["columns"][0]
    assert {
        "name", "kind", "psi", "noise_floor", "js", "wasserstein", "ks", "null_share", "unseen_share", "moved_bin",
        "state", "approximate",
    } <= set(column)  # fmt: skip
    many = tmp_path / "many.parquet"
    pl.DataFrame({"x": pl.int_range(1_000_001, eager=True).cast(pl.Float64)}).write_parquet(many)
    told = shell.ok("drift-compare", str(many), str(many)).out
    assert "ks and wasserstein of 1 columns are approximate: of 1,000,000 of their values a side" in told


def test_keys_users_and_the_audit(shell: Shell) -> None:
    made = shell.ok("key", "create", "demo", "--scope", "predict", "--json").json()
    assert set(made) == {"name", "scope", "key"}
    assert made["key"].startswith("apk_")
    listed = shell.ok("key", "list", "--json")
    assert [key["name"] for key in listed.json()["keys"]] == ["demo"]
    assert made["key"] not in listed.out
    shell.ok("key", "revoke", "demo")
    shell.ok("user", "add", "ann", "--role", "operator", "--password-file", "-", stdin="correct horse battery\n")
    assert len(shell.ok("user", "passwd", "ann", "--generate").out.strip()) >= 20
    users = {user["name"]: user["role"] for user in shell.ok("user", "list", "--json").json()["users"]}
    assert users == {"admin": "admin", "ann": "operator"}
    entries = shell.ok("audit", "--json").json()["audit"]
    assert all({"at", "who", "action", "subject"} <= set(entry) for entry in entries)
    assert shell.ok("audit", "verify", "--json").json()["ok"] is True


def test_doctor_says_what_is_wrong_and_what_to_do(shell: Shell) -> None:
    (shell.state / "secret").chmod(0o644)
    done = shell.run("doctor", "--json")
    report = done.json()
    assert done.code == 3
    assert report["ok"] is False
    state = next(check for check in report["checks"] if check["name"] == "state")
    assert state["state"] == "fail"
    assert state["fix"].startswith("run 'chmod 600 ")


def test_status_has_the_shape_that_others_rely_on(fresh: Shell) -> None:
    done = fresh.run("status", "--json")
    assert done.code == 3
    report = done.json()
    assert {"api_url", "ui_url", "services"} <= set(report)
    assert [service["name"] for service in report["services"]] == ["api", "ui", "orchestrator", "runner", "mlflow"]
    assert all({"name", "state", "pid", "pss_mb", "since"} <= set(service) for service in report["services"])


def test_root_acts_as_the_owner_of_the_state(shell: Shell) -> None:
    import os
    import pwd

    if os.geteuid() != 0:
        pytest.skip("needs root")
    nobody = pwd.getpwnam("nobody")
    for folder in (shell.state.parent, *shell.state.parent.parents):
        if folder == Path("/tmp"):  # noqa: S108  (where pytest puts tmp_path)
            break
        folder.chmod(0o755)
    for path in (shell.state, *shell.state.rglob("*")):
        os.chown(path, nobody.pw_uid, nobody.pw_gid)
    private = shell.state.parent / "private.csv"
    private.write_text(PENGUINS.read_text())
    private.chmod(0o600)
    shell.ok("data", "add", "penguins", str(private))
    owners = {path.owner() for path in shell.state.rglob("*")}
    assert owners == {"nobody"}
