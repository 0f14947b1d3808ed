"""What was said of one prediction, in the order it came."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import msgspec

from appliance.errors import NotFound
from appliance.monitoring.quality_report import LabelHistory, LabelRevision
from storage.outcome_rows import find_outcome, outcome_history


def read_label_history(connection: sqlite3.Connection, prediction_id: str) -> LabelHistory:
    """The label of a prediction, and those it took the place of.

    Raises:
        NotFound: No label of it was counted.
    """
    found = find_outcome(connection, prediction_id)
    if found is None:
        raise NotFound(
            f"no label of a prediction {prediction_id!r} is known; ids are those of the answers, such as TOKEN.0, and "
            "a label is counted within seconds, unless history_days let it go"
        )
    told = [*outcome_history(connection, prediction_id), (found.label, found.label_us, found.arrived_us)]
    return LabelHistory(
        id=found.id, model=found.model, version=found.version, role=found.variant, predicted_at=_time(found.event_us),
        output=tuple(msgspec.json.decode(found.output, type=list[float])),
        revisions=tuple(
            LabelRevision(label=label, known_at=_time(known_us), arrived_at=_time(arrived_us))
            for label, known_us, arrived_us in told
        ),
    )  # fmt: skip


def _time(moment_us: int) -> datetime:
    return datetime.fromtimestamp(moment_us / 1e6, UTC)
