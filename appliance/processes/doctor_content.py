"""What ``appliance doctor`` sees in what the state holds: the bundles that serve, and the files of the tables."""

from __future__ import annotations

import sqlite3
from collections.abc import Container
from dataclasses import dataclass
from pathlib import Path

from appliance.processes.check import Check
from appliance.settings import Settings
from storage.bundles import read_bundle
from storage.deployment_rows import live_deployments
from storage.errors import BundleCorrupt, BundleNotFound

_RESTORE = "stop the appliance and run 'appliance backup restore --replace'"


@dataclass(frozen=True, slots=True)
class _There(Container[str]):
    """The names of what lies below a folder, looked up one by one."""

    root: Path

    def __contains__(self, name: object) -> bool:
        return (self.root / str(name)).is_file()


def check_serving_bundles(settings: Settings, connection: sqlite3.Connection) -> list[Check]:
    """Every version that shall serve has its files, as they were published."""
    live, checks = live_deployments(connection), []
    for row in live:
        try:
            read_bundle(settings.layout, row.model, row.version)
        except (BundleNotFound, BundleCorrupt) as exc:
            message = f"version {row.version} of {row.model!r} stands as the {row.role} and cannot serve: {exc}"
            fix = f"{_RESTORE}; or train it again ('appliance train {row.model}') and deploy that"
            checks.append(Check(name="bundles", state="fail", message=message, fix=fix))
    whole = f"the files of {len(live)} deployed versions are as they were published"
    return checks or [Check(name="bundles", state="ok", message=whole)]


def check_table_files(settings: Settings) -> list[Check]:
    """Every file that a dataset or the history names is there."""
    from storage.backup_proof import check_tables  # noqa: PLC0415  (loads deltalake, which the dashboard need not hold)

    there = _There(settings.state)
    # Twice: what was merged between the look at a log and that at its files is named no more.
    lost = check_tables(settings.state, there) and check_tables(settings.state, there)
    fix = f"put it back where it was, or {_RESTORE}"
    return [Check(name="tables", state="fail", message=one, fix=fix) for one in lost] or [
        Check(name="tables", state="ok", message="every file that a dataset or the history names is there")
    ]
