"""From one installed release to another and back, so that a failure, a kill or a power cut leaves one that works.

Run by install.sh from the new release: ``python -m appliance.processes.upgrade VERB --base DIR``; ``recover`` at boot.

The order: back up and prove it with the old release; let the new one check itself while the old one serves; stop
whoever writes; migrate copies; then, while nothing serves and callers wait at the port, put the copies in place and
flip ``current``; start; see whether all is well. If not: everything back, exit code 3.
"""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.processes.hosts import Host, find_host, owner_of, restarts
from appliance.processes.release_journal import DATABASES, Files, Journal
from appliance.settings import Settings, load_settings
from storage.backups import copy_database
from storage.errors import StorageError

FAILED, UNHEALTHY = 3, 4
WELL_S = 180
STEADY_S = 5.0
"""What is well must stay so for a while: a process that dies after its first request is not."""
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
            self._run(release, "the new release's own check", "-m", "appliance.processes.selfcheck", owned=True)
            self._step("checked")
            self._files.forget_previous()
            journal = Journal(before=before, after=release, databases=[], ran=ran, began_at=_now())
            self._files.begin(journal)
            self._own()
            self._step("journalled")
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
            journal = Journal(
                before=last.after, after=last.before, databases=list(last.databases), ran=ran, began_at=_now()
            )  # fmt: skip
            return self._change(journal, ready=self._is_ready(), prepare=self._fetch_previous)

    def recover(self) -> None:
        """Take an interrupted upgrade back; nothing happens when none was interrupted, or when one is at work."""
        try:
            with self._alone():
                if self._files.find_journal() is not None:
                    self._recover()
                    self._host.start()  # at boot, whatever ran before: what was to start was stopped meanwhile
        except Conflict:
            return

    def _change(self, journal: Journal, *, ready: bool, prepare: Callable[[Journal], Journal]) -> int:
        try:
            self._host.stop_writers()
            self._step("stopped")
            with self._without_compaction():
                journal = prepare(journal)
                with self._host.switching():
                    self._place(journal)
                if journal.ran:
                    self._host.start()
                    self._step("started")
                    self._require_well(journal.after, ready=ready)
                self._files.finish(journal)
                self._own()
            self._step("done")
        except (ApplianceError, StorageError, OSError, subprocess.SubprocessError, KeyboardInterrupt) as exc:
            print(f"upgrade: {exc or type(exc).__name__}; going back to {journal.before}", file=sys.stderr, flush=True)
            return self._go_back(journal)
        return 0

    def _migrate(self, journal: Journal) -> Journal:
        """Copies of the databases, brought to the new schemas; which of them are to change places."""
        self._files.next.mkdir(mode=0o750)
        for name, place in DATABASES.items():
            if (self._settings.state / place).exists():
                copy_database(self._settings.state / place, self._files.next / name)
        self._own()
        self._step("copied")
        said = self._run(
            journal.after, "the migration of the databases", "-m", "appliance.processes.migrate_copies",
            str(self._files.next), owned=True,
        )  # fmt: skip
        self._step("migrated")
        return self._write(journal, json.loads(said.strip().splitlines()[-1]))

    def _fetch_previous(self, journal: Journal) -> Journal:
        """The databases of the earlier release, as copies."""
        self._files.fetch_previous(journal.databases)
        return self._write(journal, journal.databases)

    def _write(self, journal: Journal, databases: list[str]) -> Journal:
        complete = Journal(
            before=journal.before, after=journal.after, databases=databases, ran=journal.ran,
            began_at=journal.began_at,
        )  # fmt: skip
        self._files.begin(complete)
        self._own()
        self._step("decided")
        return complete

    def _place(self, journal: Journal) -> None:
        self._fold_logs(journal)
        self._files.place(journal)
        self._own()
        self._step("placed")
        self._files.flip(journal.after)
        self._step("flipped")
        self._host.place_units(self._release(journal.after), self._release(journal.before))
        self._step("units placed")

    def _fold_logs(self, journal: Journal) -> None:
        """The write-ahead logs into their databases, which then are one file each."""
        for name in journal.databases:
            path = self._settings.state / DATABASES[name]
            program = "import sqlite3, sys; sqlite3.connect(sys.argv[1]).execute('PRAGMA wal_checkpoint(TRUNCATE)')"
            if path.exists():
                self._run(journal.after, f"closing {name}", "-c", program, str(path), owned=True)

    def _go_back(self, journal: Journal) -> int:
        with self._host.switching():
            self._take_back(journal)
        if not journal.ran:
            return FAILED
        self._host.start()
        try:
            self._require_well(journal.before, ready=False)
        except ApplianceError as exc:
            print(f"upgrade: the release before is not well either: {exc}", file=sys.stderr, flush=True)
            return UNHEALTHY
        return FAILED

    def _recover(self) -> bool:
        """Whether the appliance ran when a change was interrupted, which is then taken back."""
        journal = self._files.find_journal()
        if journal is None:
            return False
        print(f"the change from {journal.before} to {journal.after} was interrupted; going back", flush=True)
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
            with urllib.request.urlopen(f"{self._settings.api_url}/health/ready", timeout=10) as answer:  # noqa: S310
                return bool(answer.status == 200)
        except (OSError, ValueError, urllib.error.URLError):
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
    def _without_compaction(self) -> Iterator[None]:
        """What the new release counts stays in the event log until it is final: a step back counts it again."""
        path = self._settings.layout.run / "compaction.lock"
        with path.open("a") as lock:
            if who := owner_of(self._settings.state):
                os.chown(path, *who)
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


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
    return 0


if __name__ == "__main__":
    sys.exit(main())
