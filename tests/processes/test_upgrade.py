"""From one release to the next and back, killed after every step: what is left always works and has lost nothing."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes.releases import Installation, make_installation

STEPS = (
    "checked", "journalled", "stopped", "copied", "migrated", "decided", "placed", "flipped", "units placed", "done",
)  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return make_installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def place(pristine: Installation, tmp_path: Path) -> Installation:
    return pristine.copy(tmp_path)


def test_an_upgrade_backs_up_migrates_and_can_be_taken_back(place: Installation) -> None:
    place.add_key("before")
    done = place.upgrade("two", "to", "two")
    assert done.returncode == 0, done.stderr
    assert place.current == "two"
    assert place.read() == (True, ["before"])
    backups = json.loads(place.appliance("backup", "list", "--json").stdout)["backups"]
    assert len(backups) == 1
    assert backups[0]["notes"]["verified_at"], "the backup before it was proved"
    place.add_key("after")
    refused = place.upgrade("two", "back")
    assert refused.returncode == 1
    assert "what was written there since is lost" in refused.stderr
    assert "--yes" in refused.stderr
    assert place.current == "two"
    done = place.upgrade("two", "back", "--yes")
    assert done.returncode == 0, done.stderr
    assert place.current == "one"
    assert place.read() == (False, ["before"])
    place.add_key("works")
    assert not place.is_under_way


@pytest.mark.parametrize("step", STEPS)
def test_an_upgrade_killed_after_any_step_is_whole_after_the_next_boot(place: Installation, step: str) -> None:
    place.add_key("before")
    killed = place.changing("to", "kill", step)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    recovered = place.upgrade(place.current, "recover")
    assert recovered.returncode == 0, recovered.stderr
    after = place.current
    assert after == ("two" if step == "done" else "one")
    assert place.read() == (after == "two", ["before"])
    assert not place.is_under_way
    place.add_key("works")
    assert place.upgrade(after, "recover").stdout == "", "once more changes nothing"


def break_release(pristine: Installation, place: Installation, module: str, text: str) -> None:
    """Release two with a fault in a module."""
    source = place.base.parent / "broken"
    shutil.copytree(pristine.base.parent / "next", source)
    with (source / module).open("a") as file:
        file.write(text)
    (place.base / "releases" / "two").unlink()
    binary = place.base / "releases" / "two" / "venv" / "bin"
    binary.mkdir(parents=True)
    (binary / "python").write_text(f'#!/bin/sh\nPYTHONPATH={source} exec {sys.executable} "$@"\n')
    (binary / "python").chmod(0o755)


def test_a_release_that_fails_its_own_check_changes_nothing(pristine: Installation, place: Installation) -> None:
    break_release(pristine, place, "flows/runner.py", "\nimport no_such_library\n")
    done = place.upgrade("two", "to", "two", "--no-backup")
    assert done.returncode == 3
    assert "flows.runner cannot be imported: ModuleNotFoundError: No module named 'no_such_library'" in done.stderr
    assert "nothing was changed" in done.stderr
    assert place.current == "one"
    assert place.read() == (False, [])


def test_a_migration_that_fails_changes_nothing(pristine: Installation, place: Installation) -> None:
    text = "\n@migrations()\ndef m9999_bad(db: Database) -> None:\n    db.execute('CREATE TABLE')\n"
    break_release(pristine, place, "storage/migrations.py", text)
    done = place.upgrade("two", "to", "two", "--no-backup")
    assert done.returncode == 3, done.stderr
    assert "the migration of the databases failed: cannot write the state database" in done.stderr
    assert "going back to one" in done.stderr
    assert place.current == "one"
    assert place.read() == (False, [])
    place.add_key("works")


MIGRATION = "\nimport os, signal\n\n@migrations()\ndef m9999_long(db: Database) -> None:\n"


@pytest.mark.parametrize("name", ["SIGHUP", "SIGTERM", "SIGINT"])
def test_an_upgrade_that_is_ended_from_outside_goes_back(
    pristine: Installation, place: Installation, name: str
) -> None:
    """Told twice, as by the kernel and the shell of a terminal that goes away."""
    tell = f"    os.kill(os.getppid(), signal.{name})\n"
    break_release(pristine, place, "storage/migrations.py", f"{MIGRATION}{tell}{tell}    signal.pause()\n")
    place.add_key("before")
    done = place.upgrade("two", "to", "two", "--no-backup")
    assert done.returncode == 3, done.stderr
    assert f"interrupted by {name}; going back to one" in done.stderr
    assert not place.is_under_way
    assert (place.current, place.read()) == ("one", (False, ["before"]))


def test_an_upgrade_whose_terminal_goes_away_goes_back(pristine: Installation, place: Installation) -> None:
    """Also from then on nobody can be told anything: writing to that terminal fails."""
    break_release(pristine, place, "storage/migrations.py", f"{MIGRATION}    signal.pause()\n")
    place.add_key("before")
    terminal, its = os.openpty()
    command = place.upgrade_command("two", "to", "two", "--no-backup")
    process = subprocess.Popen(
        ["env", "--default-signal", "setsid", "--ctty", *command],
        stdin=its,
        stdout=its,
        stderr=its,
        env=place.environment,
    )
    os.close(its)
    said = b""
    while b"migrating copies" not in said:
        said += os.read(terminal, 1000)
    os.close(terminal)
    assert process.wait(timeout=200)
    assert not place.is_under_way
    assert (place.current, place.read()) == ("one", (False, ["before"]))


def test_a_hangup_that_the_caller_ignores_ends_nothing(pristine: Installation, place: Installation) -> None:
    """As ``nohup`` does."""
    tell = "    os.kill(os.getppid(), signal.SIGHUP)\n"
    break_release(pristine, place, "storage/migrations.py", f"{MIGRATION}{tell}")
    command = place.upgrade_command("two", "to", "two", "--no-backup")
    done = subprocess.run(["nohup", *command], env=place.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert place.current == "two"


def test_what_the_command_writes_while_copies_are_migrated_is_there_afterwards(place: Installation) -> None:
    place.add_key("before")
    done = place.changing("to", "write", "copied")
    assert done.returncode == 0, done.stderr
    acknowledged = [line for line in done.stdout.splitlines() if line.startswith("during")]
    assert acknowledged == ["during-1", "during-2"], "written in each round, refused while the database is shut"
    assert place.current == "two"
    assert place.read() == (True, ["before", *acknowledged])


def test_a_transaction_that_is_open_when_databases_change_places_is_waited_for(place: Installation) -> None:
    place.add_key("before")
    done = place.changing("to", "hold", "decided")
    assert done.returncode == 0, done.stderr
    assert "copying again" in done.stdout
    assert place.read() == (True, ["held"])


def test_without_a_good_backup_nothing_begins(place: Installation) -> None:
    bundle = place.state / "models" / "m" / "1"
    bundle.mkdir(parents=True)
    (bundle / "manifest.json").write_text("{}")
    done = place.upgrade("two", "to", "two")
    assert done.returncode == 3
    assert "upgrade without one (--no-backup)" in done.stderr
    assert place.current == "one"


def test_there_is_nothing_to_go_back_to_at_first(place: Installation) -> None:
    done = place.upgrade("one", "back")
    assert (done.returncode, "there is no earlier release" in done.stderr) == (1, True)


def test_stores_of_todays_mlflow_and_prefect_stay_as_they_are(place: Installation, tmp_path: Path) -> None:
    folder = tmp_path / "copies"
    folder.mkdir()
    for module, name in (("appliance.registry.migrate", "mlflow.db"), ("flows.migrate", "prefect.db")):
        if name == "mlflow.db":
            made = place.python(
                "one", "-c",
                "import sys; from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore as S;"
                " S('sqlite:///' + sys.argv[1], sys.argv[2])",
                str(folder / name), str(folder),
            )  # fmt: skip
        else:
            made = place.python("one", "-m", module, str(folder / name))
        assert made.returncode == 0, made.stderr
    done = place.python("one", "-m", "appliance.processes.migrate_copies", str(folder))
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
    (folder / "prefect.db").write_bytes(b"no database" * 1000)
    done = place.python("one", "-m", "appliance.processes.migrate_copies", str(folder))
    assert done.returncode == 1
