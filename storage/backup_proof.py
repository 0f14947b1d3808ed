"""What can be proved of a backup without a model: its databases are sound, what they and its tables name is there."""

from __future__ import annotations

import sqlite3
from collections.abc import Container, Iterator
from contextlib import closing, suppress
from pathlib import Path

from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from storage.backups import DATABASES
from storage.bundles import list_bundles
from storage.dataset_log import FORGOTTEN, needed_files
from storage.errors import SnapshotNotFound
from storage.layout import Layout
from storage.stamp_triggers import respell_triggers


def is_needed(name: str) -> bool:
    """Whether a file must be unpacked for the proof: databases, bundles, the tables' logs."""
    return name in DATABASES or name.startswith("models/") or "/_delta_log/" in name or name.endswith(f"/{FORGOTTEN}")


def check_databases(unpacked: Path) -> list[str]:
    """One sentence a database that is damaged; ours is spelled as every SQLite can read it before."""
    ours = unpacked / "appliance.db"
    if ours.is_file():
        with (
            suppress(sqlite3.Error),
            closing(sqlite3.connect(ours)) as connection,
        ):  # what is wrong with it is told below
            respell_triggers(connection)
    return [problem for name in DATABASES if (problem := _check_database(unpacked / name, name))]


def check_tables(unpacked: Path, names: Container[str]) -> list[str]:
    """One sentence a table whose log names a file that is not among ``names``."""
    problems = []
    for log in sorted(unpacked.glob("*/*/_delta_log")):
        table = str(log.parent.relative_to(unpacked))
        try:
            named = set(_named_by_any(log) if table.startswith("datasets/") else _named_by_newest(log.parent))
        except (OSError, ValueError, KeyError, DeltaError, SnapshotNotFound) as exc:
            problems.append(f"the log of {table} cannot be read: {exc}")
            continue
        missing = sorted(file for file in named if f"{table}/{file}" not in names)
        if missing:
            problems.append(f"{table} has lost {missing[0]}" + (f" and {len(missing) - 1} more" * (len(missing) > 1)))
    return problems


def check_serving(unpacked: Path) -> list[str]:
    """One sentence a version that stands in the state database as what serves, and has no bundle beside it."""
    layout = Layout(root=unpacked)
    if not layout.database.is_file():
        return []
    with closing(sqlite3.connect(f"{layout.database.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
        standing = connection.execute("SELECT model, version, role FROM deployments WHERE ended_at IS NULL ORDER BY id")
        return [
            f"version {version} of {model} stands as the {role}, and the backup has no bundle of it"
            for model, version, role in standing
            if version not in list_bundles(layout, model)
        ]


def _check_database(path: Path, name: str) -> str:
    if not path.is_file():
        return ""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as exc:
        found = str(exc)
    return "" if found == "ok" else f"the database {name} is damaged: {found}"


def _named_by_any(log: Path) -> Iterator[str]:
    """Of every version that was not forgotten: a dataset's old ones stay readable."""
    yield from needed_files(log.parent)


def _named_by_newest(table: Path) -> Iterator[str]:
    """Of the version that is read: what was merged or dropped is gone."""
    for uri in DeltaTable(table).file_uris():
        yield str(Path(uri).relative_to(table))
