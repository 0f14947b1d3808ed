"""The tables ``collections`` and ``collected``: which labelled predictions have become rows of a dataset.

A collection is announced with its prediction ids before its rows are written and confirmed with the snapshot after;
one that stays unconfirmed was interrupted, and whether its rows were written is seen at the dataset.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from storage.statedb import from_text, to_text, transaction


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """Labelled predictions on their way into a dataset; ``dataset_version`` is None until they are there."""

    id: str
    model: str
    dataset: str
    rows: int
    started_at: datetime
    dataset_version: int | None = None


def announce_collection(connection: sqlite3.Connection, collection: Collection, prediction_ids: Iterable[str]) -> None:
    """Remember the predictions before their rows are written.

    Raises:
        sqlite3.IntegrityError: One of them belongs to another collection; nothing was remembered.
    """
    with transaction(connection):
        connection.execute(
            "INSERT INTO collections (id, model, dataset, rows, started_at) VALUES (?, ?, ?, ?, ?)",
            (collection.id, collection.model, collection.dataset, collection.rows, to_text(collection.started_at)),
        )
        connection.executemany(
            "INSERT INTO collected (prediction_id, collection) VALUES (?, ?)",
            ((prediction_id, collection.id) for prediction_id in prediction_ids),
        )


def confirm_collection(connection: sqlite3.Connection, collection_id: str, dataset_version: int) -> None:
    """The rows are in that snapshot."""
    connection.execute("UPDATE collections SET dataset_version = ? WHERE id = ?", (dataset_version, collection_id))


def withdraw_collection(connection: sqlite3.Connection, collection_id: str) -> None:
    """The rows were never written; their predictions may be collected again."""
    with transaction(connection):
        connection.execute("DELETE FROM collected WHERE collection = ?", (collection_id,))
        connection.execute("DELETE FROM collections WHERE id = ?", (collection_id,))


def open_collections(connection: sqlite3.Connection, dataset: str) -> list[Collection]:
    """The unconfirmed collections into a dataset."""
    rows = connection.execute(
        "SELECT * FROM collections WHERE dataset = ? AND dataset_version IS NULL ORDER BY started_at", (dataset,)
    )
    return [
        Collection(
            id=row["id"], model=row["model"], dataset=row["dataset"], rows=row["rows"],
            started_at=from_text(row["started_at"]), dataset_version=row["dataset_version"],
        )
        for row in rows
    ]  # fmt: skip


def is_collected(connection: sqlite3.Connection, prediction_id: str) -> bool:
    """Whether the prediction has become a row, or is about to."""
    return (
        connection.execute("SELECT 1 FROM collected WHERE prediction_id = ?", (prediction_id,)).fetchone() is not None
    )
