"""Backups of a whole state: written beside the traffic, there whole or not at all, kept by count and age."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from storage.backup_archive import ArchiveWriter, BackupManifest, write_archive
from storage.bundles import replace_durably
from storage.errors import BackupNotFound, StateUnwritable
from storage.eventlog import free_bytes
from storage.layout import Layout
from storage.restore import ASIDE, is_swapping
from storage.stillness import standing_still

SUFFIX = ".backup"
NAME = re.compile(r"\d{8}T\d{6}Z(-\d+)?")
DATABASES = ("appliance.db", "mlflow/mlflow.db", "prefect/prefect.db")
"""Below the state, as far as they are there; read through SQLite's online backup."""
LEFT_OUT = ("tmp", "run", "logs", "backups", "figures", "prefect/ui", "upgrade")
"""What dies with the processes, what is made anew, and the backups themselves."""
_FILE_SYSTEM_S = "lost+found"
"""Root's own at the top of every disk."""
_LINKED = 2
"""Folders so deep below the state may be links to another disk: ``datasets``, or one dataset."""
ROOM_LEFT_BYTES = 256 << 20
Step = Callable[[str], None]


class Notes(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a backup without opening it; beside it as ``NAME.json``.

    Attributes:
        bytes: Size of the file.
        sealed: A passphrase is needed.
        verified_at: When it was last read to the end and proved; ISO 8601, UTC; None when it never was.
        problem: What the last proof found wrong; empty when nothing.
    """

    created_at: str
    release: str
    bytes: int
    files: int
    sealed: bool
    verified_at: str | None = None
    problem: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Backup:
    """One backup by its name."""

    name: str
    path: Path
    notes: Notes

    @property
    def created_at(self) -> datetime:
        """When its databases were read."""
        return datetime.fromisoformat(self.notes.created_at)

    @property
    def proved(self) -> bool:
        """Whether it was read to its end and found whole."""
        return self.notes.verified_at is not None and not self.notes.problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to back up and how.

    Attributes:
        release: This program's version.
        schema: Of the state database.
        passphrase: Seals it; None leaves it open to whoever can read the file.
        config: The settings file, kept as ``config.toml``; None where there is none.
    """

    release: str
    schema: int
    passphrase: str | None = None
    config: Path | None = None


def create_backup(layout: Layout, folder: Path, order: Order, *, step: Step = lambda _: None) -> Backup:
    """Write a backup of the state as it is now, while it is used.

    The databases come first, and the event log is not compacted meanwhile: what the counts of the state database have
    not seen is still in the segments that are copied after it, so that a restored state counts each event once.

    Args:
        layout: The state.
        folder: Where backups lie.
        order: How.
        step: Told after each step; tests end the process there.

    Raises:
        StateUnwritable: There is no room, or the disk is read-only; nothing is left behind.
        OSError: A file of the state cannot be read.
    """
    with _alone(folder):
        _remove_halves(folder)
        _forget_scratch(layout)
        _require_room(layout, folder)
        now = datetime.now(UTC)
        path = _free_name(folder, now)
        half = folder / f".half-{path.name}"
        manifest = BackupManifest(
            created_at=now.isoformat(), release=order.release, schema=order.schema,
            root=str(layout.root.absolute()), host=socket.gethostname(), members=[],
        )  # fmt: skip
        try:
            files = _write(layout, half, manifest, order, step)
            step("written")
            half.rename(path)
            _sync(folder)
        except (OSError, sqlite3.Error) as exc:
            half.unlink(missing_ok=True)
            raise StateUnwritable(f"cannot write the backup {path}: {exc}; nothing was left behind") from exc
        step("published")
        notes = Notes(
            created_at=manifest.created_at, release=order.release, bytes=path.stat().st_size, files=files,
            sealed=order.passphrase is not None,
        )  # fmt: skip
        write_notes(path, notes)
    return Backup(name=path.stem, path=path, notes=notes)


def list_backups(folder: Path) -> list[Backup]:
    """Every backup, newest first."""
    found = [path for path in folder.glob(f"[0-9]*{SUFFIX}") if NAME.fullmatch(path.stem)]
    return [_read(path) for path in sorted(found, key=_place_in_time, reverse=True)]


def get_backup(folder: Path, name: str) -> Backup:
    """One backup: by name, ``latest``, or by a path to a file anywhere.

    Raises:
        BackupNotFound: There is none.
    """
    if "/" in name or name.endswith(SUFFIX):
        path = Path(name) if "/" in name else folder / name
        if path.is_file():
            return _read(path.absolute())
    found = list_backups(folder)
    for backup in found:
        if name in {backup.name, "latest"}:
            return backup
    known = ", ".join(backup.name for backup in found[:5]) or "none yet; make one with 'appliance backup create'"
    raise BackupNotFound(f"there is no backup {name!r} in {folder}; backups: {known}")


def write_notes(path: Path, notes: Notes) -> None:
    """Replace what is known of a backup.

    Raises:
        StateUnwritable: The disk is full or read-only.
    """
    replace_durably(path.with_suffix(".json"), msgspec.json.encode(notes), mode=0o600)


def spare_backups(backups: list[Backup], *, keep: int, keep_days: int, now: datetime) -> list[Backup]:
    """Which may go: beyond the newest ``keep``, or older than ``keep_days`` (0: none); never the last proved one."""
    newest_proved = next((backup for backup in backups if backup.proved), None)
    oldest = now - timedelta(days=keep_days)
    return [
        backup
        for place, backup in enumerate(backups)
        if backup is not newest_proved and (place >= keep or (keep_days and backup.created_at < oldest))
    ]


def remove_backup(backup: Backup) -> None:
    """Remove a backup and its notes."""
    backup.path.unlink(missing_ok=True)
    backup.path.with_suffix(".json").unlink(missing_ok=True)


def copy_database(source: Path, target: Path) -> None:
    """SQLite's online backup of a database that may be in use, as one file without a write-ahead log.

    Raises:
        sqlite3.Error: It is damaged, or stays locked.
    """
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True, timeout=30.0)) as reader,
        closing(sqlite3.connect(target)) as writer,
    ):
        reader.backup(writer)
        writer.execute("PRAGMA journal_mode = DELETE")
    target.chmod(0o600)


def list_state(layout: Layout) -> Iterator[str]:
    """The files of a state that a backup takes besides the databases, as paths below it, sorted.

    A Delta table's log comes before its files, so that whatever a copied commit names is there. A folder that was
    moved to another disk, with a link in its place, is taken from there.

    Raises:
        StateUnwritable: Such a link leads nowhere.
    """
    left_out = {layout.root / name for name in LEFT_OUT}
    databases = {layout.root / name for name in DATABASES}

    def walk(folder: Path) -> Iterator[Path]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: (entry.name != "_delta_log", entry.name))
        except FileNotFoundError:
            return
        for entry in entries:
            path = Path(entry.path)
            if path in left_out or entry.name == _FILE_SYSTEM_S:
                continue
            linked = entry.is_symlink() and _is_elsewhere(layout, path)
            if entry.is_dir(follow_symlinks=linked):
                if not str(path.relative_to(layout.root)).startswith(ASIDE):
                    yield from walk(path)
            elif entry.is_file(follow_symlinks=linked) and not _is_passing(path, databases):
                yield path

    return (str(path.relative_to(layout.root)) for path in walk(layout.root))


def _is_elsewhere(layout: Layout, path: Path) -> bool:
    """Whether a link is one that a backup follows: near the top, and out of the state."""
    if len(path.relative_to(layout.root).parts) > _LINKED:
        return False
    if not path.exists():
        raise StateUnwritable(
            f"{path} is a link to {path.readlink()}, which is not there: a backup would lack it; mount that disk, or "
            "remove the link"
        )
    return not path.resolve().is_relative_to(layout.root.resolve())


def _is_passing(path: Path, databases: set[Path]) -> bool:
    """The databases themselves with their logs, and files that are being replaced."""
    plain = path.with_name(path.name.removesuffix("-wal").removesuffix("-shm").removesuffix("-journal"))
    return plain in databases or path.name.startswith((".secret-", ".half-")) or path.name == ".deployments.lock"


def _write(layout: Layout, half: Path, manifest: BackupManifest, order: Order, step: Step) -> int:
    layout.run.mkdir(mode=0o750, parents=True, exist_ok=True)
    with (
        TemporaryDirectory(dir=layout.tmp, prefix="backup-") as scratch,
        standing_still(layout),
        open(half, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file,
    ):
        with write_archive(file, order.passphrase) as writer:
            _add_databases(layout, Path(scratch), writer, step)
            for name in list_state(layout):
                writer.add(name, layout.root / name)
            step("files")
            if order.config is not None:
                writer.add("config.toml", order.config)
            writer.finish(manifest)
        file.flush()
        os.fsync(file.fileno())
        return len(writer.members)


def _add_databases(layout: Layout, scratch: Path, writer: ArchiveWriter, step: Step) -> None:
    for number, name in enumerate(DATABASES):
        if (layout.root / name).is_file():
            copy = scratch / f"{number}.db"
            copy_database(layout.root / name, copy)
            writer.add(name, copy)
            copy.unlink()
            step(name)


def _require_room(layout: Layout, folder: Path) -> None:
    wanted = sum(_size(layout.root / name) for name in (*list_state(layout), *DATABASES))
    free = free_bytes(folder)
    if free < wanted + ROOM_LEFT_BYTES:
        raise StateUnwritable(
            f"a backup may need {wanted >> 20} MiB below {folder}, and {free >> 20} MiB are free "
            f"({ROOM_LEFT_BYTES >> 20} are left alone); free space, keep fewer backups (backup_keep), or put them on "
            "another disk (backup_dir)"
        )


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _free_name(folder: Path, now: datetime) -> Path:
    stem = f"{now:%Y%m%dT%H%M%SZ}"
    path, serial = folder / f"{stem}{SUFFIX}", 1
    while path.exists():
        serial += 1
        path = folder / f"{stem}-{serial}{SUFFIX}"
    return path


def _place_in_time(path: Path) -> tuple[str, int]:
    stamp, _, serial = path.stem.partition("-")
    return stamp, int(serial or 1)


def _read(path: Path) -> Backup:
    try:
        notes = msgspec.json.decode(path.with_suffix(".json").read_bytes(), type=Notes)
    except (OSError, msgspec.DecodeError):  # it was killed between the two, or comes from another host
        at = datetime.fromtimestamp(path.stat().st_mtime, UTC).isoformat()
        notes = Notes(created_at=at, release="?", bytes=path.stat().st_size, files=0, sealed=False)
    return Backup(name=path.stem, path=path, notes=notes)


def _remove_halves(folder: Path) -> None:
    for path in folder.glob(f".half-*{SUFFIX}"):
        path.unlink()


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / ".lock").open("w")
    except OSError as exc:
        raise StateUnwritable(f"cannot write backups below {folder}: {exc.strerror}") from exc
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _forget_scratch(layout: Layout) -> None:
    """Remove what killed backups left in ``tmp``, and what killed proofs and restores left there a day ago."""
    for path in layout.tmp.glob("backup-*"):
        shutil.rmtree(path, ignore_errors=True)
    if is_swapping(layout):
        return
    for path in (*layout.tmp.glob("verify-*"), *layout.tmp.glob("restore-*")):
        if path.stat().st_mtime < time.time() - 86_400:
            shutil.rmtree(path, ignore_errors=True)
