"""Brings copies of the three databases to this release's schemas: ``python -m … FOLDER``; prints which changed.

MLflow's and Prefect's own migrations run in processes of their own, since each of them takes hundreds of megabytes and
reads its settings when it is imported.
"""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from appliance.errors import ApplianceError
from storage.errors import StorageError

MIGRATIONS = {"mlflow.db": "appliance.registry.migrate", "prefect.db": "flows.migrate"}
"""Named, not imported: the arrow points down."""
TIMEOUT_S = 1800


def migrate_copies(folder: Path) -> list[str]:
    """The names of the copies whose schema became another one.

    Raises:
        ApplianceError: MLflow's or Prefect's migration failed; with the last it said.
        StorageError: Ours did.
    """
    from storage.migrations import migrate  # noqa: PLC0415  (sqlite-utils loads pandas where it is installed)

    changed = []
    ours = folder / "appliance.db"
    if ours.exists():
        before = _schema(ours)
        migrate(ours)
        _close_log(ours)
        changed += ["appliance.db"] if _schema(ours) != before else []
    for name in MIGRATIONS:
        path = folder / name
        if not path.exists():
            continue
        before = _schema(path)
        migrate_store(name, path)
        changed += [name] if _schema(path) != before else []
    return changed


def migrate_store(name: str, path: Path) -> None:
    """Bring MLflow's or Prefect's database (a key of ``MIGRATIONS``), that nobody uses, to its library's schema.

    Raises:
        ApplianceError: It failed; with the last it said.
    """
    module = MIGRATIONS[name]
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, str(path)], stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip
    if done.returncode:
        last = " ".join((done.stderr or done.stdout).strip().splitlines()[-3:])
        raise ApplianceError(f"the migration of {path.name} failed: {last}")
    _close_log(path)


def _schema(path: Path) -> list[tuple[object, ...]]:
    """Every table and index, and the version numbers that the migrations keep."""
    with closing(sqlite3.connect(path)) as connection:
        found: list[tuple[object, ...]] = connection.execute(
            "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' ORDER BY type, name"
        ).fetchall()
        alembic = any(row[1] == "alembic_version" for row in found)
        found += connection.execute("PRAGMA user_version").fetchall()
        if alembic:
            found += connection.execute("SELECT version_num FROM alembic_version").fetchall()
    return found


def _close_log(path: Path) -> None:
    """One file, to be renamed as one."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")


def main() -> int:
    """The names as JSON; exit code 1 with a sentence on standard error."""
    try:
        print(json.dumps(migrate_copies(Path(sys.argv[1]))))
    except (ApplianceError, StorageError, sqlite3.Error, OSError) as exc:
        print(exc, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
