"""What an upgrade writes down before each thing it cannot take back, and how that is taken back after a power cut.

    STATE/upgrade/journal.json   an upgrade is under way: from which release to which, which databases change places
    STATE/upgrade/next/          migrated copies that wait for their place
    STATE/upgrade/previous/      the databases that they replaced; or ``replaced/``, see below
    STATE/upgrade/last.json      the last upgrade that was finished, for ``--rollback``

While ``journal.json`` is there, the release before it is the right one: whatever was interrupted is taken back from the
folder that it names. Its renaming to ``last.json``, one step, makes the change final. What the last change replaced
stays in a folder of its own until then, and is never taken for what this one replaced: a change that is taken back
leaves everything as it was, the way back included.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import msgspec

from storage.bundles import replace_durably
from storage.layout import Layout

DATABASES = {"appliance.db": "appliance.db", "mlflow.db": "mlflow/mlflow.db", "prefect.db": "prefect/prefect.db"}
"""Name of a copy to its place below the state."""
KEPT = ("previous", "replaced")
"""The folders for what was replaced: a change takes the one that the last change does not need."""


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """An upgrade, or a step back.

    Attributes:
        before: The release that runs when it begins.
        after: The release that runs when it has succeeded.
        databases: Copies (keys of ``DATABASES``) that change places; empty when the schemas are the same.
        ran: Whether the appliance ran, and is to run afterwards.
        began_at: ISO 8601, UTC.
        kept: The folder (of ``KEPT``) for the databases that are replaced.
    """

    before: str
    after: str
    databases: list[str]
    ran: bool
    began_at: str
    kept: str = KEPT[0]


def is_changing(layout: Layout) -> bool:
    """Whether a change of the release is under way, or waits to be taken back; what is written now may be lost."""
    try:
        (layout.root / "upgrade" / "journal.json").stat()
    except PermissionError:  # root has only just made the folder of the first change, and gives it away next
        return True
    except OSError:
        return False
    return True


class Files:
    """The files of one appliance's upgrades; every method may be interrupted and called again."""

    def __init__(self, layout: Layout, base: Path) -> None:
        self._layout = layout
        self._base = base
        self.folder = layout.root / "upgrade"
        self.next = self.folder / "next"

    @property
    def current(self) -> str:
        """The release that ``current`` names; empty when there is none."""
        link = self._base / "current"
        return link.readlink().name if link.is_symlink() else ""

    def python(self, release: str) -> Path:
        """A release's own Python."""
        return self._base / "releases" / release / "venv" / "bin" / "python"

    def find_journal(self) -> Journal | None:
        """The upgrade that is under way or was interrupted."""
        return self._find("journal.json")

    def find_last(self) -> Journal | None:
        """The last upgrade that succeeded."""
        return self._find("last.json")

    def begin(self, before: str, after: str, *, ran: bool, began_at: str) -> Journal:
        """From here on an interruption is taken back; no database changes places until ``decide``."""
        self.folder.mkdir(mode=0o750, exist_ok=True)
        last = self.find_last()
        kept = next(name for name in KEPT if last is None or name != last.kept)
        journal = Journal(before=before, after=after, databases=[], ran=ran, began_at=began_at, kept=kept)
        for folder in (self.next, self.folder / kept):  # of changes that ended without their last tidying
            shutil.rmtree(folder, ignore_errors=True)
        self._put("journal.json", journal)
        return journal

    def decide(self, journal: Journal, databases: list[str]) -> Journal:
        """Write down which copies of ``next`` change places; once the disk has them whole."""
        for name in databases:
            _sync(self.next / name)
        _sync(self.next)
        decided = msgspec.structs.replace(journal, databases=databases)
        self._put("journal.json", decided)
        return decided

    def finish(self, journal: Journal) -> None:
        """Make it final; what it replaced is kept for a step back."""
        (self.folder / "journal.json").rename(self.folder / "last.json")
        _sync(self.folder)
        others = (self.folder / name for name in KEPT if name != journal.kept)
        for folder in (self.next, *others):
            shutil.rmtree(folder, ignore_errors=True)

    def place(self, journal: Journal) -> None:
        """Put the copies in the databases' places, and the databases aside; nobody may have them open."""
        aside = self.folder / journal.kept
        aside.mkdir(mode=0o750, exist_ok=True)
        _sync(self.folder)
        for name in journal.databases:
            live, copy = self._live(name), self.next / name
            if live.exists() and not (aside / name).exists():
                live.rename(aside / name)
            _remove_logs(live)
            _sync(aside)  # it must not be lost when its place is taken
            if copy.exists():
                copy.rename(live)
        self._sync_all(journal)

    def flip(self, release: str) -> None:
        """Let ``current`` name a release, in one step."""
        half = self._base / ".current-new"
        half.unlink(missing_ok=True)
        half.symlink_to(f"releases/{release}")
        half.rename(self._base / "current")
        _sync(self._base)

    def take_back(self, journal: Journal) -> None:
        """Undo ``place`` and ``flip``, however far they came."""
        for name in journal.databases:
            kept, live = self.folder / journal.kept / name, self._live(name)
            if kept.exists():  # else it never left, or was put back by a step back that was interrupted later
                _remove_logs(live)
                kept.replace(live)
        self._sync_all(journal)
        if self.current != journal.before:
            self.flip(journal.before)

    def drop_journal(self) -> None:
        """After ``take_back``: as if it had never begun."""
        (self.folder / "journal.json").unlink(missing_ok=True)
        shutil.rmtree(self.next, ignore_errors=True)
        if self.folder.exists():
            _sync(self.folder)

    def clear_next(self) -> None:
        """An empty folder for copies."""
        shutil.rmtree(self.next, ignore_errors=True)
        self.next.mkdir(mode=0o750)

    def fetch_replaced(self, last: Journal) -> None:
        """Copies of what the last change replaced, to be put in place again; the originals stay."""
        self.clear_next()
        for name in last.databases:
            shutil.copyfile(self.folder / last.kept / name, self.next / name)

    def _live(self, name: str) -> Path:
        return self._layout.root / DATABASES[name]

    def _find(self, name: str) -> Journal | None:
        try:
            return msgspec.json.decode((self.folder / name).read_bytes(), type=Journal)
        except FileNotFoundError:
            return None

    def _put(self, name: str, journal: Journal) -> None:
        replace_durably(self.folder / name, msgspec.json.encode(journal))

    def _sync_all(self, journal: Journal) -> None:
        folders = {self._live(name).parent for name in journal.databases} | {self.next, self.folder / journal.kept}
        for folder in folders:
            if folder.exists():
                _sync(folder)


def _remove_logs(database: Path) -> None:
    """The write-ahead log of a database that is gone; it was folded in before."""
    for suffix in ("-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    """Wait until the disk has a file, or what a folder lists."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
