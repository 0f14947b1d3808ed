"""Backups of a state with a dataset, a model, events and history: made under traffic, proved, refused, put back."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import polars as pl
import pytest

from appliance.backups import Backups
from appliance.errors import ApplianceError, Conflict
from appliance.registry.registry import Registry
from appliance.schema import Task
from appliance.serving.loaded_model import load_model
from appliance.settings import Settings
from storage.backups import Backup
from storage.datasets import list_snapshots, read_snapshot
from storage.errors import BackupDamaged, BackupNotFound, PassphraseWrong, StaleSchema, StateUnwritable
from storage.eventlog import EventWriter
from storage.restore import finish_swap
from storage.statedb import connect
from tests.model_bundles import MIXED_COLUMNS, publish, sample_rows, train_model
from tests.training.rows import penguins
from tests.training.state import add, new_appliance

PASSPHRASE = "correct horse battery staple"


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A state as days of use leave it."""
    settings = Settings(state=tmp_path_factory.mktemp("original") / "state")
    house = new_appliance(settings.state)
    add(house, "penguins", penguins())
    add(house, "penguins", penguins().head(10))
    for version, task in ((1, Task.REGRESSION), (2, Task.MULTICLASS)):
        publish(settings.layout, train_model("m", version, task=task, columns=MIXED_COLUMNS))
    writer = EventWriter(settings.layout.events / "predictions")
    for number in range(50):
        writer.append(b'{"id":"%032x"}' % number)
    writer.close()
    settings.layout.specs.joinpath("m.toml").write_text("name = 'm'\n")
    make_mlflow(settings.layout.mlflow / "mlflow.db", settings.state)
    return settings


def make_mlflow(path: Path, root: Path) -> None:
    """The table of MLflow's store that has paths in it."""
    path.unlink(missing_ok=True)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("CREATE TABLE runs (run_uuid TEXT, artifact_uri TEXT)")
        connection.execute("INSERT INTO runs VALUES ('r', ?)", (f"{root.as_uri()}/mlflow/artifacts/m/r",))


@pytest.fixture
def settings(original: Settings, tmp_path: Path) -> Settings:
    """A copy that a test may change."""
    made = Settings(state=Path(shutil.copytree(original.state, tmp_path / "state")))
    make_mlflow(made.layout.mlflow / "mlflow.db", made.state)
    return made


def score(settings: Settings, version: int) -> list[float]:
    model = load_model(settings.layout, "m", version)
    return model.score(model.encoder.encode(sample_rows(MIXED_COLUMNS, 20, seed=3)).matrix)[0]


def files(root: Path) -> dict[str, bytes]:
    """Everything but the backups and what passes."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.relative_to(root).parts[0] not in {"backups", "tmp", "run", "logs"}
    }


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_a_bare_host_predicts_the_same_after_a_restore(
    settings: Settings, tmp_path: Path, passphrase: str | None
) -> None:
    backups = Backups(settings)
    made = backups.create(who="test", passphrase=passphrase)
    assert (b"penguins" in made.path.read_bytes()) is False
    proof = backups.verify(made.name, passphrase=passphrase)
    assert (proof.versions, proof.problems) == (2, ())
    bare = Settings(state=tmp_path / "elsewhere" / "state")
    done = Backups(bare).restore(str(made.path), who="test", passphrase=passphrase)
    assert (done.versions, done.aside) == (2, None)
    for version in (1, 2):
        assert score(bare, version) == score(settings, version), "to the bit"
    for version in (1, 2):
        left, right = (read_snapshot(one.layout, "penguins", version) for one in (settings, bare))
        assert left.equals(right)
    assert bare.layout.secret.read_bytes() == settings.layout.secret.read_bytes()
    assert bare.layout.secret.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in bare.layout.events.rglob("*.ndjson")] == [
        path.name for path in settings.layout.events.rglob("*.ndjson")
    ]
    with closing(sqlite3.connect(bare.layout.mlflow / "mlflow.db")) as connection:
        (uri,) = connection.execute("SELECT artifact_uri FROM runs").fetchone()
    assert uri == f"{bare.state.as_uri()}/mlflow/artifacts/m/r", "MLflow's paths follow the state"
    with closing(connect(bare.layout.database)) as connection:
        actions = [row[0] for row in connection.execute("SELECT action FROM audit ORDER BY id DESC LIMIT 1")]
    assert actions == ["backup.restore"]
    assert not list(bare.state.glob("replaced-*"))


def test_a_backup_under_traffic_agrees_with_itself(settings: Settings) -> None:
    """Rows are written in pairs, in one transaction: a torn copy would have an odd number."""
    stop = threading.Event()

    def write() -> None:
        with closing(sqlite3.connect(settings.layout.database, timeout=30, isolation_level=None)) as connection:
            number = 0
            while not stop.is_set():
                number += 1
                connection.execute("BEGIN IMMEDIATE")
                for half in "ab":
                    connection.execute(
                        "INSERT INTO faults (kind, day, count) VALUES (?, ?, 1)", (f"{number}{half}", "2030-01-01")
                    )
                connection.execute("COMMIT")
                stop.wait(0.0005)  # SQLite's lock goes to nobody in turn: leave a gap for others

    writers = [threading.Thread(target=write)]
    for thread in writers:
        thread.start()
    try:
        backups = Backups(settings)
        names = [backups.create(who="test").name for _ in range(3)]
    finally:
        stop.set()
        for thread in writers:
            thread.join()
    counts = []
    for name in names:
        assert backups.verify(name).problems == ()
        bare = Settings(state=settings.state.parent / name)
        Backups(bare).restore(str(settings.backups / f"{name}.backup"), who="test")
        with closing(connect(bare.layout.database)) as connection:
            counts.append(connection.execute("SELECT count(*) FROM faults").fetchone()[0])
    assert all(count % 2 == 0 for count in counts)
    assert counts == sorted(counts)
    assert counts[-1] > 0


def test_names_in_a_hurry_are_different(settings: Settings) -> None:
    backups = Backups(settings)
    names = [backups.create(who="test").name for _ in range(3)]
    assert len(set(names)) == 3
    assert [one.name for one in backups.list()] == names[::-1], "the newest first"


@pytest.fixture
def made(settings: Settings) -> Backup:
    return Backups(settings).create(who="test")


def damages() -> Iterator[tuple[str, object]]:
    yield "cut to half", lambda content: content[: len(content) // 2]
    yield "cut by a byte", lambda content: content[:-1]
    yield "a changed byte", lambda content: content[:5000] + bytes([content[5000] ^ 1]) + content[5001:]
    yield "empty", lambda _: b""
    yield "something else", lambda _: b"no backup at all" * 100


@pytest.mark.parametrize(("name", "damage"), list(damages()), ids=lambda value: value if isinstance(value, str) else "")
def test_a_damaged_backup_is_refused_before_anything_is_touched(
    settings: Settings, made: Backup, name: str, damage: object
) -> None:
    made.path.write_bytes(damage(made.path.read_bytes()))  # type: ignore[operator]
    before = files(settings.state)
    backups = Backups(settings)
    with pytest.raises(BackupDamaged, match=made.name):
        backups.restore(made.name, who="test", replace_state=True)
    assert files(settings.state) == before, name
    assert list(settings.layout.tmp.iterdir()) == []
    assert backups.verify(made.name).problems
    assert backups.list()[0].notes.problem
    assert not backups.list()[0].proved


@pytest.mark.parametrize("lost", ["models/m/1/model.txt", "datasets/penguins/", "appliance.db"])
def test_a_state_that_is_damaged_already_is_no_good_backup(settings: Settings, lost: str) -> None:
    path = settings.state / lost
    if lost.endswith("/"):
        next(path.glob("*.parquet")).unlink()
    elif lost.endswith(".db"):
        break_a_page(path)
    else:
        path.write_bytes(path.read_bytes().replace(b"leaf_value=", b"leaf_value=1", 1))
    backups = Backups(settings)
    try:
        made = backups.create(who="test")
    except (StateUnwritable, sqlite3.DatabaseError) as exc:
        assert "appliance.db" in lost, exc
        return
    proof = backups.verify(made.name)
    assert proof.problems, lost
    if lost.startswith("models"):
        assert proof.problems == ("models/m/1/model.txt differs from its manifest",), "not where it was unpacked"
    with pytest.raises(BackupDamaged, match="nothing was touched"):
        backups.restore(made.name, who="test", replace_state=True)


def break_a_page(path: Path) -> None:
    """Zero the last page of a database, its log folded in."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    content = bytearray(path.read_bytes())
    content[-4096:] = os.urandom(4096)
    path.write_bytes(content)


@pytest.mark.parametrize("step", ["appliance.db", "mlflow/mlflow.db", "files", "written", "published"])
def test_a_killed_backup_leaves_nothing_half_made(settings: Settings, step: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.storage.backing_up_child", str(settings.state), step], check=False
    )
    assert done.returncode == -signal.SIGKILL
    backups = Backups(settings)
    found = backups.list()
    assert len(found) == (step == "published")
    assert all(backups.verify(one.name).problems == () for one in found)
    made = backups.create(who="test")
    assert backups.verify(made.name).problems == ()
    assert sorted(path.name for path in settings.backups.iterdir() if path.suffix == ".backup") == sorted(
        one.path.name for one in backups.list()
    ), "the half one is gone"
    assert list(settings.layout.tmp.iterdir()) == []


def test_a_state_is_replaced_only_when_asked_and_kept_beside(settings: Settings, made: Backup) -> None:
    backups = Backups(settings)
    with pytest.raises(Conflict, match="--replace puts the backup in its place"):
        backups.restore(made.name, who="test")
    (settings.layout.specs / "later.toml").write_text("x = 1\n")
    done = backups.restore(made.name, who="test", replace_state=True)
    assert done.aside is not None
    assert (done.aside / "specs" / "later.toml").exists()
    assert not (settings.layout.specs / "later.toml").exists()
    assert [one.name for one in backups.list()] == [made.name], "the backups themselves stay"
    again = backups.create(who="test")
    bare = Settings(state=settings.state.parent / "bare")
    Backups(bare).restore(str(again.path), who="test")
    assert not list(bare.state.glob("replaced-*")), "what a restore put aside is in no backup"


@pytest.mark.parametrize("at", range(0, 14, 2))
def test_a_restore_killed_between_two_renames_is_finished(settings: Settings, made: Backup, at: int) -> None:
    (settings.layout.specs / "later.toml").write_text("x = 1\n")
    # The child counts its renames and dies at one of them.
    program = f"""
import os, pathlib, signal
from appliance.backups import Backups
from appliance.settings import Settings
import storage.restore
real, count = storage.restore._move, [0]
def move(source, target):
    if count[0] == {at}:
        os.kill(os.getpid(), signal.SIGKILL)
    count[0] += 1
    real(source, target)
storage.restore._move = move
Backups(Settings(state=pathlib.Path({str(settings.state)!r}))).restore({made.name!r}, who="t", replace_state=True)
"""
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert finish_swap(settings.layout)
    assert not finish_swap(settings.layout)
    settings.layout.create()
    assert not (settings.layout.specs / "later.toml").exists()
    (aside,) = settings.state.glob("replaced-*")
    assert (aside / "specs" / "later.toml").exists()
    assert (aside / "appliance.db").exists()
    for version in (1, 2):
        score(settings, version)
    assert [one.version for one in list_snapshots(settings.layout, "penguins")] == [2, 1]


def test_a_backup_of_a_newer_release_is_refused(
    settings: Settings, made: Backup, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.backups.SCHEMA_VERSION", 0)
    with pytest.raises(StaleSchema, match="newer than this program's 0; install the release"):
        Backups(settings).restore(made.name, who="test", replace_state=True)


def test_a_sealed_backup_asks_for_its_passphrase(settings: Settings) -> None:
    backups = Backups(settings)
    made = backups.create(who="test", passphrase=PASSPHRASE)
    with pytest.raises(BackupDamaged, match="give its passphrase with --passphrase-file"):
        backups.verify(made.name)
    with pytest.raises(BackupDamaged, match="the passphrase is wrong"):
        backups.restore(made.name, who="test", passphrase="wrong", replace_state=True)
    assert backups.verify(made.name, passphrase=PASSPHRASE).problems == ()


def test_a_wrong_passphrase_says_nothing_of_the_backup(settings: Settings) -> None:
    backups = Backups(settings)
    made = backups.create(who="test", passphrase=PASSPHRASE)
    backups.verify(made.name, passphrase=PASSPHRASE)
    assert (known := backups.list())[0].proved
    with pytest.raises(PassphraseWrong, match="is wrong, or it is damaged; give the passphrase that it"):
        backups.verify(made.name, passphrase="wrong")
    assert backups.list() == known
    content = made.path.read_bytes()
    made.path.write_bytes(content[:100] + bytes([content[100] ^ 1]) + content[101:])
    with pytest.raises(PassphraseWrong):  # damage of the first piece looks the same
        backups.verify(made.name, passphrase=PASSPHRASE)
    made.path.write_bytes(content[:40])
    assert backups.verify(made.name, passphrase=PASSPHRASE).problems
    assert not backups.list()[0].proved


def test_unknown_names_are_said(settings: Settings, made: Backup) -> None:
    with pytest.raises(BackupNotFound, match=f"backups: {made.name}"):
        Backups(settings).verify("20010101T000000Z")
    assert Backups(settings).verify("latest").backup == made.name


def test_no_room_is_said_and_nothing_is_left(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.backups.free_bytes", lambda _: 300 << 20)
    big = settings.layout.datasets / "penguins" / "big.parquet"
    with big.open("wb") as file:
        file.truncate(100 << 20)
    with pytest.raises(StateUnwritable, match=r"may need 1\d\d MiB .* 300 MiB are free"):
        Backups(settings).create(who="test")
    assert Backups(settings).list() == []


def test_the_nightly_backup_alerts_when_it_fails_and_stops_when_it_does_not(settings: Settings) -> None:
    broken = settings.layout.models / "m" / "1" / "model.txt"
    content = broken.read_bytes()
    broken.write_bytes(content[:-200])
    backups = Backups(settings)
    for _ in range(2):
        with pytest.raises(BackupDamaged):
            backups.nightly()
    assert alerts(settings) == [("backup", "alarm", True)], "one, though it failed twice"
    broken.write_bytes(content)
    backups.nightly()
    assert alerts(settings) == [("backup", "alarm", False)]
    assert backups.list()[0].proved


def alerts(settings: Settings) -> list[tuple[str, str, bool]]:
    with closing(connect(settings.layout.database)) as connection:
        return [
            (row["subject"], row["state"], row["closed_at"] is None)
            for row in connection.execute("SELECT * FROM alerts ORDER BY id")
        ]


def test_the_notes_survive_without_their_file(settings: Settings, made: Backup) -> None:
    made.path.with_suffix(".json").unlink()
    (found,) = Backups(settings).list()
    assert (found.notes.release, found.proved) == ("?", False)
    Backups(settings).verify(found.name)
    assert Backups(settings).list()[0].proved
    assert msgspec.json.decode(made.path.with_suffix(".json").read_bytes())["problem"] == ""


def test_old_rows_of_a_dataset_are_in_it(settings: Settings, made: Backup, tmp_path: Path) -> None:
    bare = Settings(state=tmp_path / "bare")
    Backups(bare).restore(str(made.path), who="test")
    frame = read_snapshot(bare.layout, "penguins", 1)
    assert isinstance(frame, pl.DataFrame)
    assert frame.height == penguins().height


def test_a_backup_of_an_earlier_release_has_its_stores_migrated_or_is_refused(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store of the fixture is none of MLflow's, so its migration fails; a real one goes through."""
    backups = Backups(settings)
    monkeypatch.setattr("appliance.backups.__version__", "0.0.9")
    made = backups.create(who="test")
    monkeypatch.undo()
    before = files(settings.state)
    with pytest.raises(ApplianceError, match=r"the migration of mlflow\.db failed"):
        backups.restore(made.name, who="test", replace_state=True)
    assert files(settings.state) == before
    assert list(settings.layout.tmp.iterdir()) == []
    (settings.layout.mlflow / "mlflow.db").unlink()
    Registry(settings.layout, settings.mlflow_uri)
    monkeypatch.setattr("appliance.backups.__version__", "0.0.9")
    made = backups.create(who="test")
    monkeypatch.undo()
    assert backups.restore(made.name, who="test", replace_state=True).versions == 2
