"""What a job released before it ended, so that the same job never registers a second version.

A version is released from the rename on that publishes its bundle. From then on its job is not trained again: what is
left of it (the version's row, the aliases, the deployment) is done. A version that MLflow knows and that was never
published is taken out of MLflow again. Written without MLflow, which takes seconds to load.
"""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass

import msgspec

from appliance.registry.left_runs import Entry, drop_entries, list_entries
from storage.bundles import MANIFEST, Manifest, bundle_path
from storage.layout import Layout
from storage.model_rows import find_version, find_version_of_job
from storage.statedb import connect


@dataclass(frozen=True, slots=True, kw_only=True)
class Released:
    """The published version of a job, whether or not its row is in the state database yet."""

    model: str
    version: int


def find_released(layout: Layout, job_id: str) -> Released | None:
    """The version that a job has published, or None.

    Raises:
        StorageError: The state database or MLflow's store cannot be read.
    """
    with closing(connect(layout.database, read_only=True)) as connection:
        row = find_version_of_job(connection, job_id)
    if row is not None:
        return Released(model=row.model, version=row.version)
    entry = next((one for one in list_entries(layout, job_id) if _is_published(layout, one)), None)
    return None if entry is None else Released(model=entry.model, version=entry.version)


def drop_unreleased(layout: Layout, job_id: str | None = None) -> int:
    """Take out of MLflow what a job registered and never published; returns how many versions.

    Args:
        layout: The state.
        job_id: A job that does not register right now; None: every job, when none runs.

    Raises:
        StorageError: A store cannot be read or written.
    """
    entries = list_entries(layout, job_id)
    if not entries:
        return 0
    with closing(connect(layout.database, read_only=True)) as connection:
        left = [
            entry
            for entry in entries
            if not _is_published(layout, entry) and find_version(connection, entry.model, entry.version) is None
        ]
    drop_entries(layout, left)
    return len(left)


def _is_published(layout: Layout, entry: Entry) -> bool:
    """Its bundle is there, and is of that very run."""
    path = bundle_path(layout, entry.model, entry.version) / MANIFEST
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest).run_id == entry.run_id
    except (FileNotFoundError, msgspec.DecodeError):
        return False
