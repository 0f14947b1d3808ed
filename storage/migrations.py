"""The schema of the state database, as recorded, transactional migrations (sqlite-utils).

A migration is never edited once released: add the next one and raise ``storage.statedb.SCHEMA_VERSION``.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from storage.errors import StaleSchema, StateUnwritable
from storage.stamp_triggers import respell_triggers
from storage.statedb import SCHEMA_VERSION

migrations = Migrations("appliance")

_FIRST = """
CREATE TABLE models (
    name TEXT PRIMARY KEY, task TEXT NOT NULL, dataset TEXT NOT NULL, target TEXT NOT NULL,
    created_at TEXT NOT NULL, updated_at TEXT NOT NULL
);
CREATE TABLE versions (
    model TEXT NOT NULL REFERENCES models(name), version INTEGER NOT NULL, run_id TEXT NOT NULL,
    dataset TEXT NOT NULL, dataset_version INTEGER NOT NULL, rows INTEGER NOT NULL, seconds REAL NOT NULL,
    metrics TEXT NOT NULL, baseline TEXT NOT NULL, champion TEXT, gate TEXT NOT NULL,
    alias TEXT, created_at TEXT NOT NULL, job_id TEXT,
    PRIMARY KEY (model, version)
);
CREATE TABLE deployments (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, role TEXT NOT NULL,
    percent INTEGER, started_at TEXT NOT NULL, ended_at TEXT, who TEXT NOT NULL, reason TEXT NOT NULL,
    rollback INTEGER NOT NULL DEFAULT 0
);
CREATE UNIQUE INDEX one_live_deployment_a_role ON deployments (model, role) WHERE ended_at IS NULL;
CREATE TABLE job_progress (
    job_id TEXT PRIMARY KEY, model TEXT, step TEXT NOT NULL, fraction REAL NOT NULL, message TEXT NOT NULL,
    curve TEXT NOT NULL DEFAULT '[]', updated_at TEXT NOT NULL, result TEXT
);
CREATE TABLE collections (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, dataset TEXT NOT NULL, rows INTEGER NOT NULL,
    started_at TEXT NOT NULL, dataset_version INTEGER
) WITHOUT ROWID;
CREATE TABLE collected (
    prediction_id TEXT PRIMARY KEY, collection TEXT NOT NULL REFERENCES collections(id)
) WITHOUT ROWID;
CREATE INDEX collected_by_collection ON collected (collection);
CREATE TABLE cursors (
    kind TEXT NOT NULL, segment TEXT NOT NULL, offset INTEGER NOT NULL, PRIMARY KEY (kind, segment)
) WITHOUT ROWID;
CREATE TABLE feature_windows (
    model TEXT NOT NULL, version INTEGER NOT NULL, variant TEXT NOT NULL, hour INTEGER NOT NULL,
    rows INTEGER NOT NULL, counts BLOB NOT NULL, PRIMARY KEY (model, version, variant, hour)
) WITHOUT ROWID;
CREATE TABLE service_windows (
    model TEXT NOT NULL, version INTEGER NOT NULL, minute INTEGER NOT NULL,
    counts BLOB NOT NULL, PRIMARY KEY (model, version, minute)
) WITHOUT ROWID;
CREATE INDEX feature_windows_by_hour ON feature_windows (model, hour, rows);
CREATE INDEX service_windows_by_minute ON service_windows (model, minute);
CREATE TABLE outcomes (
    id TEXT PRIMARY KEY, model TEXT NOT NULL, version INTEGER NOT NULL, variant TEXT NOT NULL,
    event_us INTEGER NOT NULL, output TEXT NOT NULL, label TEXT NOT NULL, label_us INTEGER NOT NULL,
    arrived_us INTEGER NOT NULL, revision INTEGER NOT NULL DEFAULT 1
) WITHOUT ROWID;
CREATE INDEX outcomes_by_time ON outcomes (model, event_us);
CREATE TABLE outcome_history (
    id TEXT NOT NULL, revision INTEGER NOT NULL, label TEXT NOT NULL, label_us INTEGER NOT NULL,
    arrived_us INTEGER NOT NULL, PRIMARY KEY (id, revision)
) WITHOUT ROWID;
CREATE TABLE outcome_days (
    model TEXT NOT NULL, version INTEGER NOT NULL, variant TEXT NOT NULL, day INTEGER NOT NULL,
    labelled INTEGER NOT NULL, PRIMARY KEY (model, version, variant, day)
) WITHOUT ROWID;
CREATE TABLE faults (
    kind TEXT NOT NULL, day TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (kind, day)
) WITHOUT ROWID;
CREATE TABLE alerts (
    id INTEGER PRIMARY KEY, model TEXT NOT NULL, subject TEXT NOT NULL, state TEXT NOT NULL,
    message TEXT NOT NULL, opened_at TEXT NOT NULL, closed_at TEXT, acknowledged_by TEXT
);
CREATE UNIQUE INDEX one_open_alert_a_subject ON alerts (model, subject) WHERE closed_at IS NULL;
CREATE TABLE standings (
    model TEXT NOT NULL, subject TEXT NOT NULL, settled TEXT NOT NULL, last TEXT NOT NULL, day INTEGER NOT NULL,
    PRIMARY KEY (model, subject)
) WITHOUT ROWID;
CREATE TABLE heartbeats (name TEXT PRIMARY KEY, at TEXT NOT NULL, detail TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE users (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, password_hash TEXT NOT NULL,
    must_change INTEGER NOT NULL DEFAULT 0, created_at TEXT NOT NULL
);
CREATE TABLE keys (
    name TEXT PRIMARY KEY, scope TEXT NOT NULL, hash BLOB NOT NULL UNIQUE, hint TEXT NOT NULL,
    created_at TEXT NOT NULL, created_by TEXT NOT NULL, revoked_at TEXT
);
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at TEXT NOT NULL, who TEXT NOT NULL, action TEXT NOT NULL,
    subject TEXT NOT NULL, detail TEXT NOT NULL, chain BLOB NOT NULL
);
"""


@migrations()
def m001_first(db: Database) -> None:
    """The tables of release 0.1."""
    for statement in _FIRST.split(";"):
        if statement.strip():
            db.execute(statement)


_SHADOWS = """
CREATE TABLE service_windows_by_role (
    model TEXT NOT NULL, version INTEGER NOT NULL, shadow INTEGER NOT NULL, minute INTEGER NOT NULL,
    counts BLOB NOT NULL, PRIMARY KEY (model, version, shadow, minute)
) WITHOUT ROWID;
INSERT INTO service_windows_by_role SELECT model, version, 0, minute, counts FROM service_windows;
DROP TABLE service_windows;
ALTER TABLE service_windows_by_role RENAME TO service_windows;
CREATE INDEX service_windows_by_minute ON service_windows (model, shadow, minute);
"""


@migrations()
def m002_shadows(db: Database) -> None:
    """Service windows tell what a version scored as a shadow from what it answered."""
    for statement in _SHADOWS.split(";"):
        if statement.strip():
            db.execute(statement)


_DELIVERIES = """
CREATE TABLE channels (
    name TEXT PRIMARY KEY, kind TEXT NOT NULL, hint TEXT NOT NULL, least TEXT NOT NULL, sealed BLOB NOT NULL,
    created_at TEXT NOT NULL, created_by TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE deliveries (
    id INTEGER PRIMARY KEY, channel TEXT NOT NULL, alert INTEGER REFERENCES alerts(id), event TEXT NOT NULL,
    state TEXT NOT NULL, due_at TEXT NOT NULL, attempts INTEGER NOT NULL DEFAULT 0, claim TEXT NOT NULL DEFAULT '',
    reason TEXT NOT NULL DEFAULT '', created_at TEXT NOT NULL, ended_at TEXT
);
CREATE UNIQUE INDEX one_delivery_an_event ON deliveries (channel, alert, event);
CREATE INDEX deliveries_by_alert ON deliveries (alert);
CREATE INDEX deliveries_due ON deliveries (due_at) WHERE state IN ('waiting', 'sending');
CREATE TABLE snoozes (
    model TEXT NOT NULL, subject TEXT NOT NULL, until TEXT NOT NULL, who TEXT NOT NULL, PRIMARY KEY (model, subject)
) WITHOUT ROWID;
CREATE INDEX alerts_by_subject ON alerts (model, subject);
"""


@migrations()
def m003_deliveries(db: Database) -> None:
    """Channels that alerts go out through, and what is on its way."""
    for statement in _DELIVERIES.split(";"):
        if statement.strip():
            db.execute(statement)


@migrations()
def m004_cells(db: Database) -> None:
    """Outcomes say which bins their inputs lay in, so that quality can be told by segment."""
    db.execute("ALTER TABLE outcomes ADD COLUMN cells BLOB NOT NULL DEFAULT x''")


@migrations()
def m005_studies(db: Database) -> None:
    """What the nightly studies found."""
    db.execute(
        "CREATE TABLE studies (model TEXT NOT NULL, version INTEGER NOT NULL, kind TEXT NOT NULL, "
        "day INTEGER NOT NULL, state TEXT NOT NULL, sentence TEXT NOT NULL, result TEXT NOT NULL, "
        "PRIMARY KEY (model, kind, day)) WITHOUT ROWID"
    )


@migrations()
def m006_data_quality(db: Database) -> None:
    """What was odd about the rows of an hour, and what became of the proofs of deployments."""
    db.execute(
        "CREATE TABLE data_quality_windows (model TEXT NOT NULL, version INTEGER NOT NULL, hour INTEGER NOT NULL, "
        "counts BLOB NOT NULL, PRIMARY KEY (model, version, hour)) WITHOUT ROWID"
    )
    db.execute("CREATE INDEX data_quality_by_hour ON data_quality_windows (model, hour)")
    db.execute(
        "CREATE TABLE skew_checks (deployment INTEGER PRIMARY KEY REFERENCES deployments(id), model TEXT NOT NULL, "
        "version INTEGER NOT NULL, replayed_at TEXT, replay TEXT NOT NULL DEFAULT '', live_at TEXT, "
        "live TEXT NOT NULL DEFAULT '', rows INTEGER NOT NULL DEFAULT 0, counts BLOB NOT NULL DEFAULT x'')"
    )


_FLOOR = "(({at}) - (({at}) % {size} + {size}) % {size}) / {size}"
"""How many times the size goes into a number, also below zero, where SQLite's division rounds up."""
_STAMPED = (
    ("outcomes", "'labels'", "event_us", 86_400_000_000, "{row}.variant = 'shadow'"),
    ("feature_windows", "'inputs'", "hour", 24, "{row}.variant = 'shadow'"),
    ("service_windows", "'service'", "minute", 30, "{row}.shadow"),
)
"""Table, kind of stamp, column of time, how much of it is one block, and whether a row is a shadow's."""


@migrations()
def m007_stamps(db: Database) -> None:
    """Whatever changes a block of time's rows gives it another stamp, so that figures of the others may be kept."""
    db.execute(
        "CREATE TABLE stamps (kind TEXT NOT NULL, model TEXT NOT NULL, shadow INTEGER NOT NULL, "
        "block INTEGER NOT NULL, version INTEGER NOT NULL, stamp INTEGER NOT NULL, "
        "PRIMARY KEY (kind, model, shadow, block, version)) WITHOUT ROWID"
    )
    for table, kind, at, size, shadow in _STAMPED:

        def values(row: str, *, kind: str = kind, at: str = at, size: int = size, shadow: str = shadow) -> str:
            block = _FLOOR.format(at=f"{row}.{at}", size=size)
            return f"{kind}, {row}.model, {shadow.format(row=row)}, {block}, {row}.version, random()"

        for event, rows in (("INSERT", ("new",)), ("UPDATE", ("old", "new")), ("DELETE", ("old",))):
            body = " ".join(
                "INSERT INTO stamps (kind, model, shadow, block, version, stamp) "  # noqa: S608
                f"VALUES ({values(row)}) ON CONFLICT (kind, model, shadow, block, version) "
                "DO UPDATE SET stamp = excluded.stamp;"
                for row in rows
            )
            db.execute(f"CREATE TRIGGER stamp_{table}_{event.lower()} AFTER {event} ON {table} BEGIN {body} END")
        db.execute(
            "INSERT INTO stamps (kind, model, shadow, block, version, stamp) "  # noqa: S608
            f"SELECT {values(table)} FROM {table} GROUP BY 1, 2, 3, 4, 5"
        )


@migrations()
def m008_held(db: Database) -> None:
    """What of the log waits until its version can be read again, so that it is counted then and not lost."""
    db.execute(
        "CREATE TABLE held (kind TEXT NOT NULL, segment TEXT NOT NULL, start INTEGER NOT NULL, "
        "stop INTEGER NOT NULL, model TEXT NOT NULL, version INTEGER NOT NULL, rows INTEGER NOT NULL, "
        "since TEXT NOT NULL, PRIMARY KEY (kind, segment, start, model, version)) WITHOUT ROWID"
    )


@migrations()
def m009_noted(db: Database) -> None:
    """Alerts and studies say when they were written: rows that are replayed give them days of long ago.

    Earlier ones are taken to be as old as what they tell of.
    """
    db.execute("ALTER TABLE alerts ADD COLUMN noted_at TEXT")
    db.execute("UPDATE alerts SET noted_at = coalesce(closed_at, opened_at)")
    db.execute("ALTER TABLE studies ADD COLUMN noted_at TEXT")
    db.execute(
        "UPDATE studies SET noted_at = strftime('%Y-%m-%dT%H:%M:%S', day * 86400, 'unixepoch') || '.000000+00:00'"
    )


def migrate(path: Path) -> None:
    """Create the state database or bring it to this program's schema; nothing happens when it is current.

    Several processes may do it at once: they wait for each other.

    Raises:
        StateUnwritable: The file cannot be created or written.
        StaleSchema: The database was written by a newer program.
    """
    try:
        with _alone(path.parent), closing(sqlite3.connect(path, timeout=10.0)) as connection:
            respell_triggers(connection)
            db = Database(connection)
            db.enable_wal()
            found = int(db.execute("PRAGMA user_version").fetchone()[0])
            if found > SCHEMA_VERSION:
                raise StaleSchema(
                    f"the state database {path} has schema {found}, newer than this program's {SCHEMA_VERSION}; "
                    "use the release that wrote it, or restore a backup"
                )
            migrations.apply(db)
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        path.chmod(0o640)
    except (sqlite3.Error, OSError) as exc:
        raise StateUnwritable(f"cannot write the state database {path}: {exc}; free space or fix its owner") from exc


@contextmanager
def _alone(directory: Path) -> Iterator[None]:
    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)
