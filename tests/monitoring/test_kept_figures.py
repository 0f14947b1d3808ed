"""Figures of labels that did not change are read, not worked out again; nothing leaves a wrong one."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from appliance.glance import glance_at
from appliance.house import open_appliance
from appliance.model_spec import ModelSpec, dump_spec
from appliance.monitoring.answers import program_stamp
from appliance.monitoring.keeping import LOOK_S, RESTS, Keeper
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.monitoring import Monitoring
from appliance.schema import Task
from appliance.settings import Settings
from storage import statedb
from storage.backup_archive import read_archive
from storage.backups import Order, create_backup
from storage.figures import keep, read_kept
from storage.model_rows import GateRow, ModelRow, VersionRow, put_model, put_version
from storage.outcome_rows import scan_outcomes
from storage.restore import begin_swap
from storage.statedb import transaction
from tests.monitoring.kept import (
    DAY_S,
    MODEL,
    count,
    keep_current,
    kept_files,
    make_watched,
    say_all,
    say_all_anew,
    tell,
)
from tests.monitoring.traffic import START_US, Traffic


@pytest.fixture
def told(tmp_path: Path) -> tuple[Settings, list[str]]:
    """Every prediction of four days has its label."""
    settings, ids = make_watched(tmp_path, Task.BINARY)
    tell(settings, {id_: "yes" if at % 3 else "no" for at, id_ in enumerate(ids)}, at_us=START_US)
    return settings, ids


def lose_rows(settings: Settings) -> None:
    """Take all labelled rows away behind the back of the stamps: who reads a row now gets another answer."""
    with closing(statedb.connect(settings.layout.database)) as connection, transaction(connection):
        triggers = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'")]
        for name in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        connection.execute("DELETE FROM outcomes")


def test_a_second_look_reads_no_labelled_row(told: tuple[Settings, list[str]]) -> None:
    settings, _ = told
    before = say_all(settings)
    lose_rows(settings)
    assert say_all(settings) == before
    assert say_all_anew(settings) != before


def test_the_loop_spares_the_first_look_the_rows(told: tuple[Settings, list[str]]) -> None:
    settings, _ = told

    def ask() -> list[object]:
        monitoring = Monitoring(settings)
        return [
            monitoring.quality(MODEL).to_json(), monitoring.quality(MODEL, 90 * DAY_S).to_json(),
            monitoring.quality_series(MODEL).to_json(), monitoring.drift(MODEL).to_json(),
        ]  # fmt: skip

    keep_current(settings)
    lose_rows(settings)
    kept = ask()
    assert kept[0]["labelled"] == 96  # type: ignore[index]
    settings.layout.figures.rename(settings.layout.root / "aside")
    assert ask() != kept


def test_after_a_label_only_its_day_is_read_again(told: tuple[Settings, list[str]]) -> None:
    settings, ids = told
    say_all(settings)
    days = [path for path in kept_files(settings) if path.suffix == ".rows"]
    before = {path: path.stat().st_mtime_ns for path in days}
    tell(settings, {ids[0]: "yes"}, at_us=START_US + 9)
    assert say_all(settings) == say_all_anew(settings)
    changed = [path for path in days if path.stat().st_mtime_ns != before[path]]
    assert changed == [settings.layout.figures / MODEL / "1" / f"{START_US // (DAY_S * 10**6)}.rows"]


def test_broken_pages_of_what_is_kept_are_made_anew(told: tuple[Settings, list[str]]) -> None:
    settings, _ = told
    whole = say_all(settings)
    files = kept_files(settings)
    sound = {path: path.read_bytes() for path in files}
    chance = random.Random(3)
    for path, content in sound.items():
        page = chance.randrange(0, len(content), 512)
        path.write_bytes(content[:page] + b"\0" * len(content[page : page + 512]) + content[page + 512 :])
    assert say_all(settings) == whole
    rows = [path for path in files if path.suffix in {".rows", ".cells"}]
    assert rows
    assert all(path.read_bytes() == sound[path] for path in rows)
    lose_rows(settings)
    assert say_all(settings) == whole, "what was made anew was kept"


def test_figures_of_another_program_are_made_anew(told: tuple[Settings, list[str]]) -> None:
    settings, _ = told
    whole = say_all(settings)
    answers = [path for path in kept_files(settings) if path.suffix == ".answers"]
    assert answers
    for path in answers:
        content = read_kept(path, program_stamp())
        assert content is not None
        assert keep(path, b"another program!", content)
    assert say_all(settings) == whole
    assert all(read_kept(path, program_stamp()) for path in answers)


def test_a_version_trained_again_under_its_number_has_figures_of_its_own(tmp_path: Path) -> None:
    settings, ids = make_watched(tmp_path / "a", Task.REGRESSION)
    other, _ = make_watched(tmp_path / "b", Task.BINARY)
    tell(settings, dict.fromkeys(ids, 1.0), at_us=START_US)
    say_all(settings)
    folder = settings.layout.models / MODEL / "1"
    folder.chmod(0o755)
    for name in ("schema.json", "reference.json"):
        content = (other.layout.models / MODEL / "1" / name).read_bytes()
        (folder / name).unlink()
        (folder / name).write_bytes(content)
    assert say_all(settings) == say_all_anew(settings)
    found = Monitoring(settings).quality(MODEL, version=1)
    assert (found.labelled, found.metrics) == (0, {}), "labels of a regression say nothing about classes"
    keep_current(settings)


def test_a_restored_backup_shows_its_own_figures(told: tuple[Settings, list[str]]) -> None:
    settings, ids = told
    layout = settings.layout
    then = say_all(settings)
    made = create_backup(layout, settings.backups, Order(release="test", schema=statedb.SCHEMA_VERSION))
    tell(settings, dict.fromkeys(ids[:40], "no"), at_us=START_US + 5)
    later = say_all(settings)
    assert later != then
    staging = layout.tmp / "restore"
    manifest = read_archive(made.path, None, staging)
    assert not [member.name for member in manifest.members if member.name.startswith("figures")]
    begin_swap(layout, staging, "replaced-1")
    assert say_all(settings) == say_all_anew(settings) == then
    tell(settings, dict.fromkeys(ids[:40], "yes"), at_us=START_US + 5)
    assert say_all(settings) == say_all_anew(settings)
    assert say_all(settings) not in {then, later}


def test_sigkill_between_two_writes_leaves_no_wrong_figure(tmp_path: Path) -> None:
    settings, ids = make_watched(tmp_path, Task.BINARY)
    chance = random.Random(6)
    for round_ in range(4):
        traffic = Traffic(settings, model=MODEL)
        for at in range(40):
            at_us = START_US + round_ * 100 + at
            traffic.label(chance.choice(ids), chance.choice(["no", "yes"]), label_us=at_us, at_us=at_us)
        traffic.close()
        child = subprocess.Popen([sys.executable, "-m", "tests.monitoring.keeping_child", str(settings.state)])
        deadline, before = time.monotonic() + 60, kept_files(settings)
        stamps = {path: path.stat().st_mtime_ns for path in before}
        while time.monotonic() < deadline and not _wrote(settings, stamps):
            time.sleep(0.005)
        time.sleep(chance.random() * 0.15)
        child.kill()
        child.wait()
        assert say_all(settings) == say_all_anew(settings)
    count(settings)
    assert say_all(settings) == say_all_anew(settings)
    with closing(statedb.connect(settings.layout.database)) as connection:
        rows = list(scan_outcomes(connection, MODEL, first_us=0, last_us=2**60))
    labelled = sum(one.labelled for one in Monitoring(settings).quality(MODEL).by_version.values())
    assert labelled == len(rows) == len({row.id for row in rows})


def _wrote(settings: Settings, before: dict[Path, int]) -> bool:
    """Whether the child has begun to keep things."""
    try:
        return any(path.stat().st_mtime_ns != before.get(path) for path in kept_files(settings))
    except FileNotFoundError:
        return True  # replaced in this moment


def test_the_loop_rests_and_goes_on_where_it_stopped(told: tuple[Settings, list[str]]) -> None:
    settings, _ = told
    now = [100.0]

    def clock() -> float:
        now[0] += LOOK_S / 2  # each question of the time comes half a look later
        return now[0]

    keeper = Keeper(KnownVersions(settings.layout), clock=clock)
    with closing(statedb.connect(settings.layout.database)) as connection:
        assert not keeper.look(connection, changed=True), "the first look ends in the middle of the days"
        packed = len(kept_files(settings))
        assert 0 < packed < 16
        assert not keeper.look(connection, changed=False)
        assert len(kept_files(settings)) == packed, "it rests"
        for _ in range(40):
            now[0] += 10 * RESTS
            if keeper.look(connection, changed=False):
                break
        assert keeper.look(connection, changed=False)
    lose_rows(settings)
    assert Monitoring(settings).quality(MODEL).labelled == 96


def test_a_glance_is_what_each_question_says(told: tuple[Settings, list[str]]) -> None:
    settings, _ = told
    spec = ModelSpec(name=MODEL, dataset="d", target="label", task=Task.BINARY, window="3d")
    (settings.layout.specs / f"{MODEL}.toml").write_text(dump_spec(spec))
    at = datetime(2026, 3, 1, tzinfo=UTC)
    row = ModelRow(name=MODEL, task="binary", dataset="d", target="label", created_at=at, updated_at=at)
    version = VersionRow(
        model=MODEL, version=2, run_id="r", dataset="d", dataset_version=1, rows=9, seconds=1.0, metrics={},
        baseline={}, champion=None, gate=GateRow(passed=True), created_at=at,
    )  # fmt: skip
    with closing(statedb.connect(settings.layout.database)) as connection:
        put_model(connection, row)
        for number in (1, 2):
            put_version(connection, replace(version, version=number))
    monitoring = Monitoring(settings)
    latency, points = monitoring.latency(MODEL), monitoring.traffic(MODEL).points
    (glance,) = glance_at(open_appliance(settings))
    assert glance.service == latency.total
    assert sum(glance.activity) == sum(point.latency.count for point in points) == latency.total.count > 0
    assert glance.last_request_at is not None
    assert 0 <= (glance.last_request_at - points[-1].at).total_seconds() < 300
    assert glance.quality == monitoring.quality(MODEL, 30 * DAY_S)
    assert glance.drift == monitoring.drift(MODEL, 3 * DAY_S).dataset
    assert glance.newest is not None
    assert glance.newest.version == glance.model.latest == 2
