"""From one installed release to another and back, so that a failure, a kill or a power cut leaves one that works.

Run by install.sh from the new release: ``python -m appliance.processes.upgrade VERB --base DIR``; ``recover`` at boot.

The order: back up and prove it with the old release; let the new one check itself while the old one serves; stop
whoever writes; migrate copies; then, while nothing serves and callers wait at the port, put the copies in place and
flip ``current``; start; see whether all is well. If not: everything back, exit code 3.

A database stays open to others while its copy is migrated. It is shut before the copy takes its place, and where
somebody has written to it since, it is copied again: what was acknowledged is not lost.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.processes.hosts import Host, find_host, owner_of, restarts
from appliance.processes.interruptions import hear_interruptions, uninterrupted
from appliance.processes.own_http import open_own
from appliance.processes.release_journal import DATABASES, Files, Journal
from appliance.settings import Settings, load_settings
from storage.errors import StorageError
from storage.handover import LiveDatabase, shut_all
from storage.stillness import standing_still

FAILED, UNHEALTHY, INTERRUPTED = 3, 4, 130
WELL_S = 180
STEADY_S = 5.0
"""What is well must stay so for a while: a process that dies after its first request is not."""
STILL_S = 300.0
"""How long a compaction that gives way, or a backup that somebody makes, may hold an upgrade up."""
ROUNDS = 2
"""How often databases are copied while others may write to them; then once more while nobody can."""
Live = Mapping[str, LiveDatabase]
"""The databases that are there, by their names in ``DATABASES``."""
TROUBLE = (ApplianceError, StorageError, OSError, ValueError, sqlite3.Error, subprocess.SubprocessError)
Step = Callable[[str], None]
"""Told what was just done; tests end the process there."""


class StepFailed(ApplianceError):
    """A step of an upgrade did not work; says which, and the last that was said."""


class Upgrade:
    """The releases of one installation."""

    def __init__(self, settings: Settings, base: Path, host: Host, *, step: Step = lambda _: None) -> None:
        self._settings = settings
        self._base = base
        self._host = host
        self._files = Files(settings.layout, base)
        self._step = step

    def to(self, release: str, *, backup: bool = True) -> int:
        """Let a release that is installed run instead of the present one; 0, 3 (the old one runs) or 4 (neither does).

        Raises:
            Conflict: Another upgrade runs.
            StepFailed: It cannot even begin; nothing was changed.
        """
        with self._alone():
            ran = self._recover() or self._host.is_up()
            before, ready = self._files.current, self._is_ready()
            if backup:
                self._backup(before)
            _say(f"{release} checks whether it can work here")
            self._run(release, "the new release's own check", "-m", "appliance.processes.selfcheck", owned=True)
            self._step("checked")
            with self._still(), self._changing():
                journal = self._files.begin(before, release, ran=ran, began_at=_now())
                return self._change(journal, ready=ready, prepare=self._migrate)

    def back(self, *, yes: bool = False) -> int:
        """Let the release run again that was there before the last upgrade, with the databases that it had.

        Raises:
            NotFound: There is none.
            Conflict: Databases would lose what was written since, and nobody said that it may.
        """
        with self._alone():
            ran = self._recover() or self._host.is_up()
            last = self._files.find_last()
            if last is None or not self._files.python(last.before).exists() or self._files.current != last.after:
                raise NotFound("there is no earlier release to go back to")
            if last.databases and not yes:
                raise Conflict(
                    f"the release {last.before} needs {', '.join(last.databases)} as of {last.began_at}: what was "
                    "written there since is lost, counts included (predictions and labels themselves are in the event "
                    "log and the history). Add --yes, or restore a backup instead"
                )
            ready = self._is_ready()
            with self._still(), self._changing():
                journal = self._files.begin(last.after, last.before, ran=ran, began_at=_now())
                return self._change(journal, ready=ready, prepare=lambda one, _: self._fetch_replaced(one, last))

    def recover(self) -> None:
        """Take an interrupted upgrade back; nothing happens when none was interrupted, or when one is at work."""
        try:
            with self._alone():
                if self._files.find_journal() is not None:
                    self._recover()
                    self._host.start()  # at boot, whatever ran before: what was to start was stopped meanwhile
        except Conflict:
            return

    def _change(self, journal: Journal, *, ready: bool, prepare: Callable[[Journal, Live], Journal]) -> int:
        try:
            self._own()
            self._step("journalled")
            _say("stopping whoever writes a database")
            self._host.stop_writers()
            self._step("stopped")
            journal = self._exchange(journal, prepare)
            if journal.ran:
                self._host.start()
                self._step("started")
                _say(f"{journal.after} starts; waiting until it is well")
                self._require_well(journal.after, ready=ready)
            self._files.finish(journal)
            self._own()
            self._step("done")
        except (*TROUBLE, KeyboardInterrupt) as exc:
            written = self._files.find_journal()
            if written is None:  # it was final already
                return 0
            _say(f"{str(exc) or type(exc).__name__}; going back to {journal.before}", error=True)
            return self._go_back(written)
        return 0

    def _exchange(self, journal: Journal, prepare: Callable[[Journal, Live], Journal]) -> Journal:
        """Put copies in place that miss nothing; what was written while they were made is copied again."""
        with self._live() as live:
            for _ in range(ROUNDS):
                journal = prepare(journal, live)
                moving = [live[name] for name in journal.databases if name in live]
                if not any(one.changed for one in moving):
                    with self._host.switching(), shut_all(moving):
                        if not any(one.changed for one in moving):
                            self._place(journal)
                            return journal
                _say("somebody wrote to a database while its copy was migrated; copying again")
            with self._host.switching(), shut_all(live.values()):
                journal = prepare(journal, live)
                self._place(journal)
                return journal

    def _migrate(self, journal: Journal, live: Live) -> Journal:
        """Copies of the databases, brought to the new schemas; which of them are to change places."""
        self._files.clear_next()
        for name, database in live.items():
            database.copy(self._files.next / name)
        self._own()
        self._step("copied")
        _say("migrating copies of the databases")
        said = self._run(
            journal.after, "the migration of the databases", "-m", "appliance.processes.migrate_copies",
            str(self._files.next), owned=True,
        )  # fmt: skip
        self._step("migrated")
        return self._decide(journal, json.loads(said.strip().splitlines()[-1]))

    def _fetch_replaced(self, journal: Journal, last: Journal) -> Journal:
        """The databases of the earlier release, as copies."""
        self._files.fetch_replaced(last)
        self._step("fetched")
        return self._decide(journal, last.databases)

    def _decide(self, journal: Journal, databases: list[str]) -> Journal:
        decided = self._files.decide(journal, databases)
        self._own()
        self._step("decided")
        return decided

    def _place(self, journal: Journal) -> None:
        _say(f"putting {journal.after} in the place of {journal.before}")
        self._files.place(journal)
        self._own()
        self._step("placed")
        self._files.flip(journal.after)
        self._step("flipped")
        self._host.place_units(self._release(journal.after), self._release(journal.before))
        self._step("units placed")

    def _go_back(self, journal: Journal) -> int:
        with uninterrupted():
            try:
                with self._host.switching():
                    self._take_back(journal)
            except TROUBLE as exc:
                _say(
                    f"going back failed too: {exc}; the journal stays: mend that, then boot, run 'appliance up' or "
                    "./install.sh again, which go back",
                    error=True,
                )
                return UNHEALTHY
            if not journal.ran:
                return FAILED
            self._host.start()
        try:
            self._require_well(journal.before, ready=False)
        except ApplianceError as exc:
            _say(f"the release before is not well either: {exc}", error=True)
            return UNHEALTHY
        return FAILED

    def _recover(self) -> bool:
        """Whether the appliance ran when a change was interrupted, which is then taken back."""
        journal = self._files.find_journal()
        if journal is None:
            return False
        _say(f"the change from {journal.before} to {journal.after} was interrupted; going back")
        with self._changing():
            self._host.stop_writers()
            with self._host.switching():
                self._take_back(journal)
        if journal.ran:
            self._host.start()
        return journal.ran

    def _take_back(self, journal: Journal) -> None:
        self._files.take_back(journal)
        self._own()
        self._step("taken back")
        self._host.place_units(self._release(journal.before), self._release(journal.after))
        self._files.drop_journal()

    def _backup(self, release: str) -> None:
        words = ("backup", "create")
        _say(f"{release} makes a backup and proves it")
        try:
            self._run(release, "the backup before the upgrade", "-m", "appliance.cli.main", *words)
        except StepFailed as exc:
            raise StepFailed(f"{exc}; mend that, or upgrade without one (--no-backup)") from exc
        self._step("backed up")

    def _require_well(self, release: str, *, ready: bool) -> None:
        words = ("up", "--detach", "--wait-s", str(WELL_S))
        self._run(release, "the start", "-m", "appliance.cli.main", *words)
        before = restarts(self._settings)
        time.sleep(STEADY_S)
        after = restarts(self._settings)
        fallen = [name for name, count in after.items() if count > before.get(name, 0)]
        if fallen:
            raise StepFailed(f"{', '.join(fallen)} ended again after the start; see 'appliance logs'")
        if ready and not self._is_ready():
            raise StepFailed("the inference API is not ready, and was before; see 'appliance doctor'")

    def _is_ready(self) -> bool:
        try:
            with open_own(f"{self._settings.api_url}/health/ready", timeout_s=10) as answer:
                return bool(answer.status == 200)
        except (OSError, ValueError):
            return False

    def _run(
        self, release: str, what: str, *arguments: str, owned: bool = False,
    ) -> str:  # fmt: skip
        """Run a release's own Python, ``owned`` as the owner of the state; the last that it said is in the error."""
        who = owner_of(self._settings.state) if owned else None
        home = {"HOME": str(self._settings.state)} if who else {}
        done = subprocess.run(
            [str(self._files.python(release)), "-P", *arguments], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, cwd="/", env={**os.environ, **home}, user=who[0] if who else None,
            group=who[1] if who else None, extra_groups=[] if who else None,
        )  # fmt: skip
        if done.returncode:
            last = " ".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-3:])
            raise StepFailed(f"{what} failed: {last}")
        return done.stdout

    def _release(self, name: str) -> Path:
        return self._base / "releases" / name

    def _own(self) -> None:
        """What root made below the state belongs to the state's owner."""
        who = owner_of(self._settings.state)
        if who and self._files.folder.exists():
            for path in (self._files.folder, *self._files.folder.rglob("*")):
                os.chown(path, *who)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """No other upgrade."""
        with (self._base / ".upgrade").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as exc:
                raise Conflict("another upgrade is at work; wait for it") from exc
            yield

    @contextmanager
    def _live(self) -> Iterator[Live]:
        """The databases that are there."""
        with ExitStack() as stack:
            found = {}
            for name, place in DATABASES.items():
                if (self._settings.state / place).exists():
                    found[name] = LiveDatabase(self._settings.state / place)
                    stack.callback(found[name].close)
            yield found

    @contextmanager
    def _changing(self) -> Iterator[None]:
        """``bin/appliance`` waits with what may write: whatever it wrote would go when the change is taken back."""
        with (self._base / ".changing").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextmanager
    def _still(self) -> Iterator[None]:
        """What the new release counts stays in the event log until it is final: a step back counts it again."""
        who = owner_of(self._settings.state)
        with standing_still(
            self._settings.layout, wait_s=STILL_S, owner=who, waiting=lambda one: _say(f"waiting for {one}")
        ):
            yield


def _say(sentence: str, *, error: bool = False) -> None:
    at = datetime.now().astimezone()
    with suppress(OSError):  # a terminal that went away must not end what takes a change back
        print(f"{at:%H:%M:%S} upgrade: {sentence}", file=sys.stderr if error else sys.stdout, flush=True)


def _now() -> str:
    return datetime.now(UTC).isoformat()


def main() -> int:
    """The program that install.sh and ``appliance-recover.service`` run."""
    parser = argparse.ArgumentParser(prog="upgrade")
    parser.add_argument("verb", choices=("to", "back", "recover"))
    parser.add_argument("release", nargs="?", default="")
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--yes", action="store_true")
    parser.add_argument("--no-backup", action="store_true")
    given = parser.parse_args()
    hear_interruptions()
    try:
        settings = load_settings()
        upgrade = Upgrade(settings, given.base, find_host(settings, given.base))
        if given.verb == "to":
            return upgrade.to(given.release, backup=not given.no_backup)
        if given.verb == "back":
            return upgrade.back(yes=given.yes)
        upgrade.recover()
    except (Conflict, NotFound) as exc:
        print(f"upgrade: {exc}", file=sys.stderr)
        return 1
    except (ApplianceError, StorageError, OSError) as exc:
        print(f"upgrade: {exc}; nothing was changed", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt as exc:
        _say(f"{exc}; what had begun is taken back by the next ./install.sh, 'appliance up' or boot", error=True)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    sys.exit(main())
