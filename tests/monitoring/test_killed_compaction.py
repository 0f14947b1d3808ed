"""kill -9 at single system calls of the compaction and of the tidying: inside Delta's commit, before it and after it.

strace stops the process as it enters the n-th call of a kind, and kills it there: the call is not made any more.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.compaction import compact
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage.history import tidy
from tests.monitoring.compacting_child import KEPT_DAYS, TIDIED_ON
from tests.monitoring.test_compaction import events, ids, labels, segments, write
from tests.monitoring.traffic import DAY_US, START_US, Traffic

STRACE = shutil.which("strace")
pytestmark = pytest.mark.skipif(STRACE is None, reason="needs strace")


@dataclass(frozen=True, slots=True)
class Moment:
    """A system call: the n-th of a thread, or the first on one path below ``history``.

    Attributes:
        moved: Whether predictions are in the history by then.
    """

    call: str
    path: str = ""
    nth: int = 1
    moved: bool = True


def kill_at(settings: Settings, what: str, moment: Moment) -> None:
    """Run the child and kill it as it enters the call; an error when it never did."""
    assert STRACE is not None
    on = ["-P", str(settings.layout.history / moment.path)] if moment.path else []
    done = subprocess.run(
        [STRACE, "-f", "-qq", "-o", "/dev/null", *on, "-e", f"trace={moment.call}",
         "-e", f"inject={moment.call}:signal=SIGKILL:when={moment.nth}",
         sys.executable, "-m", "tests.monitoring.compacting_child", str(settings.state), what],
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False,
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, moment


def commit(kind: str, number: int) -> str:
    """A commit's file; Delta writes it as ``…#1`` first and links it to its name, which fails if that is taken."""
    return f"{kind}/_delta_log/{number:020d}.json"


COMPACTING = [
    Moment("mkdir", "predictions/_delta_log", moved=False),
    Moment("linkat", commit("predictions", 0), moved=False),  # the table's own commit has no name yet
    Moment("unlink", commit("predictions", 0) + "#1", moved=False),  # it has its name
    Moment("fsync", moved=False),  # a Parquet file is written, not flushed
    Moment("fsync", nth=2, moved=False),
    Moment("linkat", commit("predictions", 1), moved=False),  # the segment's commit is written, and has no name yet
    Moment("unlink", commit("predictions", 1) + "#1"),  # it has its name, and Delta has not returned
    Moment("fsync", commit("predictions", 1)),  # Delta has returned, the commit is not flushed
    Moment("fsync", "predictions"),  # all but the folder is flushed, the segment is about to go
    Moment("linkat", commit("predictions", 2)),  # within the second segment
    Moment("unlink", commit("labels", 1) + "#1"),  # within the labels
]


def test_kill_at_a_system_call_of_the_compaction_neither_loses_nor_repeats(
    settings: Settings, traffic: Traffic, watch: Watch, tmp_path: Path
) -> None:
    tokens = write(traffic)
    before = events(settings, tokens), labels(settings)
    watch_once(watch)
    for number, moment in enumerate(COMPACTING):
        one = Settings(state=tmp_path / str(number))
        shutil.copytree(settings.state, one.state)
        kill_at(one, "compact", moment)
        assert bool(ids(one, "predictions")) is moment.moved, moment
        assert events(one, tokens) == before[0], moment
        assert {label.id for label in labels(one)} == {label.id for label in before[1]}
        assert len(set(ids(one, "predictions"))) == len(ids(one, "predictions"))
        compact(one)
        assert sorted(ids(one, "predictions")) == sorted(tokens), moment
        assert (events(one, tokens), labels(one)) == before
        assert segments(one, "predictions") == segments(one, "labels") == []


TIDYING = [
    Moment("linkat", commit("predictions", 11)),  # the old day is dropped by a commit that has no name yet
    Moment("unlink", commit("predictions", 11) + "#1"),
    Moment("rename"),  # a merged file is written, and not yet under its name
    Moment("linkat", commit("predictions", 12)),  # the commit that puts it in the place of the small ones has no name
    Moment("unlink", commit("predictions", 12) + "#1"),
]


def test_kill_at_a_system_call_of_the_tidying_neither_loses_nor_repeats(
    settings: Settings, traffic: Traffic, watch: Watch, tmp_path: Path
) -> None:
    """Five small files a day: those of the first day are dropped, those of the second are merged."""
    tokens = []
    for _ in range(5):
        tokens += write(traffic, requests=4)
        watch_once(watch)
        compact(settings)
    found = events(settings, tokens)
    kept = {token: event for token, event in found.items() if event.at >= START_US + DAY_US}
    assert len(kept) == 10
    old = sorted(settings.layout.history.glob("predictions/model=rent/*/*.parquet"))
    vacuumed = [Moment("unlink", str(path.relative_to(settings.layout.history))) for path in old[::4]]
    for number, moment in enumerate([*TIDYING, *vacuumed]):
        one = Settings(state=tmp_path / str(number))
        shutil.copytree(settings.state, one.state)
        kill_at(one, "tidy", moment)
        after = events(one, tokens)
        assert after in (found, kept), moment
        assert len(set(ids(one, "predictions"))) == len(ids(one, "predictions")) == len(after)
        tidy(one.layout, "predictions", today=TIDIED_ON, keep_days=KEPT_DAYS, grace_h=0)
        assert events(one, tokens) == kept, moment
        assert sorted(ids(one, "predictions")) == sorted(kept)
        assert len(list((one.layout.history / "predictions").rglob("*.parquet"))) == 1
