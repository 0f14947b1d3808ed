"""From one release to the next and back, killed after every step: what is left always works and has lost nothing."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes.releases import ROOT, Installation, make_installation

STEPS = (
    "checked", "journalled", "stopped", "copied", "migrated", "decided", "placed", "flipped", "units placed", "done",
)  # fmt: skip


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    return make_installation(tmp_path_factory.mktemp("installation"))


@pytest.fixture
def place(pristine: Installation, tmp_path: Path) -> Installation:
    """A copy of the state and of what names the current release."""
    base = tmp_path / "base"
    (base / "releases").mkdir(parents=True)
    for name in ("one", "two"):
        (base / "releases" / name).symlink_to(pristine.base / "releases" / name)
    (base / "current").symlink_to("releases/one")
    state = Path(shutil.copytree(pristine.state, tmp_path / "state"))
    return Installation(base=base, state=state, environment={**pristine.environment, "APPLIANCE_STATE": str(state)})


def schema(place: Installation) -> tuple[bool, list[str]]:
    """Whether the database is the next release's, and the keys in it."""
    with closing(sqlite3.connect(place.state / "appliance.db")) as connection:
        extra = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'extra'").fetchone()[0]
        names = [row[0] for row in connection.execute("SELECT name FROM keys ORDER BY name")]
        assert connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    return bool(extra), names


def add_key(place: Installation, name: str) -> None:
    done = place.appliance("key", "create", name, "--scope", "read")
    assert done.returncode == 0, done.stderr


def test_an_upgrade_backs_up_migrates_and_can_be_taken_back(place: Installation) -> None:
    add_key(place, "before")
    done = place.upgrade("two", "to", "two")
    assert done.returncode == 0, done.stderr
    assert place.current == "two"
    assert schema(place) == (True, ["before"])
    backups = json.loads(place.appliance("backup", "list", "--json").stdout)["backups"]
    assert len(backups) == 1
    assert backups[0]["notes"]["verified_at"], "the backup before it was proved"
    add_key(place, "after")
    refused = place.upgrade("two", "back")
    assert refused.returncode == 1
    assert "what was written there since is lost" in refused.stderr
    assert "--yes" in refused.stderr
    assert place.current == "two"
    done = place.upgrade("two", "back", "--yes")
    assert done.returncode == 0, done.stderr
    assert place.current == "one"
    assert schema(place) == (False, ["before"])
    add_key(place, "works")
    assert not (place.state / "upgrade" / "journal.json").exists()


@pytest.mark.parametrize("step", STEPS)
def test_an_upgrade_killed_after_any_step_is_whole_after_the_next_boot(place: Installation, step: str) -> None:
    add_key(place, "before")
    killed = subprocess.run(
        [sys.executable, "-P", "-m", "tests.processes.upgrading_child", str(place.base), "to", step],
        env={**place.environment, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    recovered = place.upgrade(place.current, "recover")
    assert recovered.returncode == 0, recovered.stderr
    after = place.current
    assert after == ("two" if step == "done" else "one")
    assert schema(place) == (after == "two", ["before"])
    assert not (place.state / "upgrade" / "journal.json").exists()
    add_key(place, "works")
    assert place.upgrade(after, "recover").stdout == "", "once more changes nothing"


@pytest.mark.parametrize("step", ["decided", "placed", "flipped", "done"])
def test_a_step_back_killed_after_any_step_is_whole_too(place: Installation, step: str) -> None:
    assert place.upgrade("two", "to", "two", "--no-backup").returncode == 0
    killed = subprocess.run(
        [sys.executable, "-P", "-m", "tests.processes.upgrading_child", str(place.base), "back", step],
        env={**place.environment, "PYTHONPATH": str(ROOT)}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert place.upgrade(place.current, "recover").returncode == 0
    after = place.current
    assert after == ("one" if step == "done" else "two")
    assert schema(place) == (after == "two", [])
    add_key(place, "works")


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
    assert schema(place) == (False, [])


def test_a_migration_that_fails_changes_nothing(pristine: Installation, place: Installation) -> None:
    text = "\n@migrations()\ndef m9999_bad(db: Database) -> None:\n    db.execute('CREATE TABLE')\n"
    break_release(pristine, place, "storage/migrations.py", text)
    done = place.upgrade("two", "to", "two", "--no-backup")
    assert done.returncode == 3, done.stderr
    assert "the migration of the databases failed: cannot write the state database" in done.stderr
    assert "going back to one" in done.stderr
    assert place.current == "one"
    assert schema(place) == (False, [])
    add_key(place, "works")


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
