"""What an upgrade writes down before each thing it cannot take back, and how that is taken back after a power cut.

    STATE/upgrade/journal.json   an upgrade is under way: from which release to which, which databases change places
    STATE/upgrade/next/          migrated copies that wait for their place
    STATE/upgrade/previous/      the databases that they replaced
    STATE/upgrade/last.json      the last upgrade that was finished, for ``--rollback``

While the journal is there, the release before it is the right one: whatever was interrupted is taken back from
``previous``. Only the journal's removal makes an upgrade final.
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


class Journal(msgspec.Struct, frozen=True, kw_only=True):
    """An upgrade, or a step back.

    Attributes:
        before: The release that runs when it begins.
        after: The release that runs when it has succeeded.
        databases: Copies (keys of ``DATABASES``) that change places; empty when the schemas are the same.
        ran: Whether the appliance ran, and is to run afterwards.
        began_at: ISO 8601, UTC.
    """

    before: str
    after: str
    databases: list[str]
    ran: bool
    began_at: str


class Files:
    """The files of one appliance's upgrades; every method may be interrupted and called again."""

    def __init__(self, layout: Layout, base: Path) -> None:
        self._layout = layout
        self._base = base
        self.folder = layout.root / "upgrade"
        self.next = self.folder / "next"
        self.previous = self.folder / "previous"

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

    def begin(self, journal: Journal) -> None:
        """From here on an interruption is taken back."""
        self.folder.mkdir(mode=0o750, exist_ok=True)
        self._put("journal.json", journal)

    def finish(self, journal: Journal) -> None:
        """Make it final; what it replaced is kept for a step back."""
        self._put("last.json", journal)
        (self.folder / "journal.json").unlink()
        shutil.rmtree(self.next, ignore_errors=True)
        _sync(self.folder)

    def place(self, journal: Journal) -> None:
        """Put the copies in the databases' places, and the databases into ``previous``; nobody may have them open."""
        self.previous.mkdir(mode=0o750, exist_ok=True)
        for name in journal.databases:
            live, copy = self._live(name), self.next / name
            if live.exists() and not (self.previous / name).exists():
                live.rename(self.previous / name)
            _remove_logs(live)
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
            kept, live = self.previous / name, self._live(name)
            if kept.exists():
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

    def fetch_previous(self, databases: list[str]) -> None:
        """Copies of what the last upgrade replaced, to be put in place again; the last upgrade is forgotten."""
        shutil.rmtree(self.next, ignore_errors=True)
        self.next.mkdir(mode=0o750)
        for name in databases:
            shutil.copyfile(self.previous / name, self.next / name)
        (self.folder / "last.json").unlink(missing_ok=True)
        shutil.rmtree(self.previous, ignore_errors=True)

    def forget_previous(self) -> None:
        """Remove what an earlier upgrade kept; before the next one begins."""
        for folder in (self.next, self.previous):
            shutil.rmtree(folder, ignore_errors=True)
        (self.folder / "last.json").unlink(missing_ok=True)

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
        folders = {self._live(name).parent for name in journal.databases} | {self.next, self.previous}
        for folder in folders:
            if folder.exists():
                _sync(folder)


def _remove_logs(database: Path) -> None:
    """The write-ahead log of a database that is gone; it was folded in before."""
    for suffix in ("-wal", "-shm", "-journal"):
        database.with_name(database.name + suffix).unlink(missing_ok=True)


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
