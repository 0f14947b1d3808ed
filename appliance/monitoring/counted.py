"""Adds a tally to the windows that there are; called inside the transaction that moves what says it was counted."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from appliance.events import SHADOW_SUFFIX
from appliance.monitoring.data_quality import DataQualityCounts, parse_quality
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.outcomes import join_shadow
from appliance.monitoring.service import ServiceCounts, parse_service
from appliance.monitoring.tally import Tally
from appliance.monitoring.windows import WindowCounts, parse_counts
from storage.data_quality_rows import DataQualityKey, find_data_quality, put_data_quality
from storage.outcome_rows import find_outcomes, put_outcome
from storage.window_rows import (
    FeatureKey,
    ServiceKey,
    find_feature_window,
    find_service_window,
    put_feature_window,
    put_service_window,
)


def write_counts(connection: sqlite3.Connection, tally: Tally, versions: KnownVersions) -> None:
    """Everything of a tally but its faults and what is held.

    Args:
        connection: In the caller's transaction.
        tally: What is added.
        versions: Told of the days that have more rows now; and for the shadows' outputs.
    """
    for feature_key, counts in tally.features.items():
        _add_features(connection, feature_key, counts)
    for service_key, service in tally.service.items():
        _add_service(connection, service_key, service)
    for quality_key, quality in tally.quality.items():
        _add_data_quality(connection, quality_key, quality)
        versions.reopen(quality_key.model, quality_key.hour // 24)
    for shadow in tally.shadows:
        answered = find_outcomes(connection, shadow.id.removesuffix(SHADOW_SUFFIX))
        for outcome in join_shadow(shadow, answered, versions):
            put_outcome(connection, outcome)


def today() -> str:
    """The day (UTC) that faults are counted on, as YYYY-MM-DD."""
    return datetime.now(UTC).date().isoformat()


def _add_features(connection: sqlite3.Connection, key: FeatureKey, counts: WindowCounts) -> None:
    before = find_feature_window(connection, key)
    earlier = None if before is None else parse_counts(before)
    # Other bins: the version was removed and trained again, so the earlier counts mean nothing any more.
    comparable = earlier is not None and earlier.cells.size == counts.cells.size
    total = earlier + counts if earlier is not None and comparable else counts
    put_feature_window(connection, key, rows=total.rows, counts=total.dump())


def _add_service(connection: sqlite3.Connection, key: ServiceKey, counts: ServiceCounts) -> None:
    before = find_service_window(connection, key)
    total = counts if before is None else parse_service(before) + counts
    put_service_window(connection, key, total.dump())


def _add_data_quality(connection: sqlite3.Connection, key: DataQualityKey, counts: DataQualityCounts) -> None:
    before = find_data_quality(connection, key)
    total = counts if before is None else parse_quality(before) + counts
    put_data_quality(connection, key, total.dump())
