"""Backups of the whole appliance: made while it serves, proved by scoring, put back in the place of a lost state."""

from __future__ import annotations

import logging
import os
import shutil
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from appliance import __version__
from appliance.clock import trusted_now
from appliance.deployments import Deployments
from appliance.errors import ApplianceError, BundleRefused, Conflict
from appliance.monitoring.spans import State
from appliance.passphrase import find_seal
from appliance.processes.migrate_copies import MIGRATIONS, migrate_store
from appliance.processes.release_journal import DATABASES
from appliance.settings import CONFIG_VARIABLE, Settings
from storage import backups as store
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.audit_rows import AuditEntry, append_audit
from storage.backup_archive import BackupManifest, is_passphrase_needed, read_archive
from storage.backup_proof import check_databases, check_serving, check_tables, is_needed
from storage.backups import Backup, Order
from storage.bundles import list_bundles
from storage.errors import BackupDamaged, BackupNotFound, PassphraseWrong, StaleSchema, StateUnwritable, StorageError
from storage.eventlog import free_bytes
from storage.layout import Layout
from storage.restore import ASIDE, begin_swap, is_swapping
from storage.statedb import SCHEMA_VERSION, connect, transaction

BACKUP = "backup"
"""The subject of the alert that the nightly backup opens when it fails."""
log = logging.getLogger("appliance.backup")


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What a backup was found to hold.

    Attributes:
        versions: Versions whose golden rows scored as in training.
        files: Whose sha256 is right.
        problems: One sentence each; empty for a good backup.
    """

    backup: str
    versions: int
    files: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """What a restore did.

    Attributes:
        aside: Where the state lies that was there before; None when there was none.
        versions: Versions whose golden rows scored before anything was put in place.
    """

    backup: str
    created_at: str
    files: int
    versions: int
    aside: Path | None


class Backups:
    """The backups of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout

    def create(self, *, who: str, passphrase: str | None = None) -> Backup:
        """Write a backup of the state as it is now; it counts as good only after ``verify``.

        Raises:
            StateUnwritable: There is no room, or a disk is read-only or not there; nothing is left behind.
        """
        if problem := find_folder_problem(self._settings):
            raise StateUnwritable(f"no backup was made: {problem}")
        config = Path(os.environ.get(CONFIG_VARIABLE, ""))
        order = Order(
            release=__version__, schema=SCHEMA_VERSION, passphrase=passphrase,
            config=config if config.is_file() and os.access(config, os.R_OK) else None,
        )  # fmt: skip
        made = store.create_backup(self._layout, self._settings.backups, order)
        self._note(who, "backup.create", made.name, f"{made.notes.bytes} bytes" + (", sealed" * made.notes.sealed))
        return made

    def list(self) -> Sequence[Backup]:
        """Every backup, newest first."""
        return store.list_backups(self._settings.backups)

    def verify(self, name: str, *, passphrase: str | None = None) -> Proof:
        """Read a backup to its end, check every hash, its databases and tables, and score each bundle's golden rows.

        Raises:
            BackupNotFound: There is none of that name.
            BackupDamaged: The passphrase is missing.
            PassphraseWrong: It is another's, or the backup is damaged where it begins; what is known of it stays.
        """
        backup = self._get(name)
        _require_passphrase(backup, passphrase)
        self._layout.tmp.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=self._layout.tmp, prefix="verify-") as folder:
            proof = _prove(backup, passphrase, Path(folder))
        notes = msgspec.structs.replace(
            backup.notes, verified_at=datetime.now(UTC).isoformat(), problem="; ".join(proof.problems),
            files=proof.files or backup.notes.files, sealed=is_passphrase_needed(backup.path),
        )  # fmt: skip
        store.write_notes(backup.path, notes)
        return proof

    def prune(self) -> Sequence[Backup]:
        """Remove the backups that the settings do not keep; the newest good one stays whatever they say."""
        spare = self.spare()
        for backup in spare:
            store.remove_backup(backup)
        return spare

    def spare(self) -> Sequence[Backup]:
        """What ``prune`` would remove."""
        return store.spare_backups(
            list(self.list()), keep=self._settings.backup_keep, keep_days=self._settings.backup_keep_days,
            now=trusted_now(self._layout),
        )  # fmt: skip

    def restore(self, name: str, *, who: str, passphrase: str | None = None, replace_state: bool = False) -> Restored:
        """Put a backup in the place of the state. It is unpacked and proved whole before anything is touched.

        What was there goes to a folder beside it. Nothing may run meanwhile (the caller sees to that).

        Args:
            name: A backup, ``latest``, or a path to one.
            who: For the audit.
            passphrase: Of a sealed one.
            replace_state: Also where there is a state already.

        Raises:
            BackupNotFound: There is none of that name.
            PassphraseWrong: It is another's, or the backup is damaged where it begins; the state is as it was.
            BackupDamaged: It is not whole, or does not score as it did; the state is as it was.
            Conflict: There is a state already.
            StaleSchema: A newer release wrote it.
            StateUnwritable: There is no room; the state is as it was.
        """
        backup = self._get(name)
        _require_passphrase(backup, passphrase)
        if self._layout.database.exists() and not replace_state:
            raise Conflict(f"there is a state in {self._layout.root} already; --replace puts the backup in its place")
        self._layout.create()
        staging = self._layout.tmp / f"restore-{os.getpid()}"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir(mode=0o750)
        try:
            manifest, versions = _unpack(backup, passphrase, staging)
            _move_paths(staging, manifest, self._layout)
            if manifest.release != __version__:
                _migrate_stores(staging)
            aside = begin_swap(self._layout, staging, f"{ASIDE}{datetime.now(UTC):%Y%m%dT%H%M%SZ}")
        finally:
            if not is_swapping(self._layout):  # what is in there would be put in place yet
                shutil.rmtree(staging, ignore_errors=True)
        self._finish(who, backup)
        return Restored(
            backup=backup.name, created_at=manifest.created_at, files=len(manifest.members), versions=versions,
            aside=aside,
        )  # fmt: skip

    def nightly(self) -> None:
        """Make a backup, prove it, remove what is spare; a failure opens an alert, the next success closes it.

        Raises:
            ApplianceError, StorageError, OSError, sqlite3.Error: What went wrong.
        """
        try:
            passphrase = find_seal(self._settings)
            made = self.create(who="schedule", passphrase=passphrase)
            proof = self.verify(made.name, passphrase=passphrase)
            if proof.problems:
                raise BackupDamaged(f"the backup {made.path} is not good: {'; '.join(proof.problems)}")
        except (ApplianceError, StorageError, OSError, sqlite3.Error) as exc:
            self._alert(f"The nightly backup failed: {str(exc).rstrip('.')}. {self._tell_last_good()}")
            raise
        self._alert("")
        spare: Sequence[Backup] = ()
        try:
            spare = self.prune()
        except OSError as exc:  # this night's is good
            log.error("backups that are kept no longer cannot be removed: %s", exc)
        log.info("backup %s: %d versions proved, %d files, %d removed", made.name, proof.versions, proof.files,
                 len(spare))  # fmt: skip

    def _tell_last_good(self) -> str:
        try:
            good = next((one for one in self.list() if one.proved), None)
        except OSError as exc:  # the alert must be told all the same
            return f"Those of before cannot be looked at: {exc.strerror}."
        if good is None:
            return "There is none to go back to."
        return f"The last good one is of {good.created_at:%Y-%m-%d %H:%M} UTC: what came since is lost if the disk is."

    def _get(self, name: str) -> Backup:
        try:
            return store.get_backup(self._settings.backups, name)
        except BackupNotFound as exc:
            if problem := find_folder_problem(self._settings):
                raise BackupNotFound(f"there is no backup {name!r}, perhaps because {problem}") from exc
            raise

    def _finish(self, who: str, backup: Backup) -> None:
        from appliance.house import prepare_state  # noqa: PLC0415  (the composition root imports this module)

        prepare_state(self._settings)  # an older schema becomes this program's
        Deployments(self._settings).publish()
        self._note(who, "backup.restore", backup.name, f"made {backup.notes.created_at}")

    def _note(self, who: str, action: str, subject: str, detail: str) -> None:
        with closing(connect(self._layout.database)) as connection:
            append_audit(
                connection, AuditEntry(at=datetime.now(UTC), who=who, action=action, subject=subject, detail=detail)
            )

    def _alert(self, message: str) -> None:
        now = datetime.now(UTC)
        with closing(connect(self._layout.database)) as connection, transaction(connection):
            standing = [row for row in list_alerts(connection, open_only=True, limit=1000) if row.subject == BACKUP]
            if not message:
                close_alert(connection, "", BACKUP, now)
            elif not standing:
                new = NewAlert(model="", subject=BACKUP, state=State.ALARM, message=message, opened_at=now)
                open_alert(connection, new)


def find_folder_problem(settings: Settings) -> str:
    """A sentence where ``backup_dir`` is not the folder that was meant; empty where it is, or none is set.

    It is never made here: while its disk is absent a backup would go to the disk that it shall outlive.
    """
    folder = settings.backup_dir
    if folder is None:
        return ""
    if not folder.is_dir():
        return f"the folder {folder} of the setting backup_dir is not there; mount its disk, or make the folder"
    if settings.systemd and not _may_write(folder, settings.state):
        return (
            f"the user of {settings.state} may not write into {folder} of the setting backup_dir; is its disk mounted? "
            f"Then run 'chown --reference {settings.state} {folder}'"
        )
    return ""


def _may_write(folder: Path, state: Path) -> bool:
    """Whether the user whose state it is may write into a folder.

    The kernel knows, with every group, access list and server: it is asked where we are that user. Anybody else goes by
    owner, main group and mode, root above all, who may everywhere himself.
    """
    facts, owner = folder.stat(), state.stat()
    if os.getuid() == owner.st_uid and os.getuid() != 0:
        return os.access(folder, os.W_OK | os.X_OK)
    writes = 0o002 | (0o020 if facts.st_gid == owner.st_gid else 0) | (0o200 if facts.st_uid == owner.st_uid else 0)
    return bool(facts.st_mode & writes)


def _require_passphrase(backup: Backup, passphrase: str | None) -> None:
    if passphrase is None and is_passphrase_needed(backup.path):
        raise BackupDamaged(f"the backup {backup.path} is sealed; give its passphrase with --passphrase-file")


def _prove(backup: Backup, passphrase: str | None, folder: Path) -> Proof:
    try:
        manifest = read_archive(backup.path, passphrase, folder, wanted=is_needed)
    except PassphraseWrong:  # which says nothing of the backup
        raise
    except BackupDamaged as exc:
        return Proof(backup=backup.name, versions=0, files=0, problems=(str(exc),))
    except OSError as exc:
        raise StateUnwritable(
            f"cannot unpack {backup.path} below {folder} to prove it: {exc.strerror}; "
            f"{free_bytes(folder) // 1_000_000} MB are free"
        ) from exc
    versions, problems = _score(folder)
    problems += check_databases(folder) + check_tables(folder, {member.name for member in manifest.members})
    problems += check_serving(folder) if not problems else []
    return Proof(backup=backup.name, versions=versions, files=len(manifest.members), problems=tuple(problems))


def _unpack(backup: Backup, passphrase: str | None, staging: Path) -> tuple[BackupManifest, int]:
    try:
        manifest = read_archive(backup.path, passphrase, staging)
    except OSError as exc:
        raise StateUnwritable(
            f"cannot unpack {backup.path} below {staging}: {exc.strerror}; "
            f"{free_bytes(staging) // 1_000_000} MB are free; nothing was touched"
        ) from exc
    if manifest.schema > SCHEMA_VERSION:
        raise StaleSchema(
            f"the backup {backup.path} has schema {manifest.schema}, newer than this program's {SCHEMA_VERSION}; "
            f"install the release {manifest.release} first"
        )
    versions, problems = _score(staging)
    problems += check_databases(staging) + check_tables(staging, {member.name for member in manifest.members})
    problems += check_serving(staging) if not problems else []
    if problems:
        raise BackupDamaged(f"the backup {backup.path} is not good, nothing was touched: {'; '.join(problems)}")
    config = staging / "config.toml"
    if config.exists():
        config.rename(staging / "config.restored.toml")
    return manifest, versions


def _score(root: Path) -> tuple[int, list[str]]:
    """Load every version, which scores its golden rows."""
    from appliance.serving.loaded_model import load_model  # noqa: PLC0415  (loads NumPy and LightGBM's library)

    layout = Layout(root=root)
    versions, problems = 0, []
    for folder in sorted(path for path in layout.models.glob("*") if path.is_dir()):
        for version in list_bundles(layout, folder.name):
            try:
                load_model(layout, folder.name, version)
                versions += 1
            except BundleRefused as exc:
                # As the backup names it: where it was unpacked is gone, and a backup is no way out of its own damage.
                problems.append(str(exc).replace(f"{root}/", "").removesuffix("; restore it from a backup"))
    return versions, problems


def _migrate_stores(staging: Path) -> None:
    """A backup of an earlier release has MLflow's and Prefect's databases as they were then."""
    for name in MIGRATIONS:
        if (staging / DATABASES[name]).exists():
            migrate_store(name, staging / DATABASES[name])


def _move_paths(staging: Path, manifest: BackupManifest, layout: Layout) -> None:
    """MLflow writes absolute paths into its store; they follow a state that moves to another directory."""
    database = staging / "mlflow" / "mlflow.db"
    old, new = Path(manifest.root).as_uri(), layout.root.absolute().as_uri()
    if old == new or not database.exists():
        return
    columns = (
        ("experiments", "artifact_location"), ("runs", "artifact_uri"),
        ("model_versions", "source"), ("model_versions", "storage_location"),
    )  # fmt: skip
    with closing(sqlite3.connect(database)) as connection, connection:
        there = {
            (table, str(row[1]))
            for table in {table for table, _ in columns}
            for row in connection.execute(f"PRAGMA table_info({table})")
        }
        for table, column in columns:
            if (table, column) in there:
                connection.execute(
                    f"UPDATE {table} SET {column} = ? || substr({column}, ?) "  # noqa: S608  (our own names)
                    f"WHERE {column} = ? OR substr({column}, 1, ?) = ? || '/'",
                    (new, len(old) + 1, old, len(old) + 1, old),
                )
