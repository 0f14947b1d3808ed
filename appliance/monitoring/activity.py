"""A model's last day of traffic at a glance, from half hours that are kept until a minute of them is counted again."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from appliance.monitoring.answers import Answers
from appliance.monitoring.horizon import Horizon
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.service import add_up, latency_of, parse_service
from appliance.monitoring.service_report import Activity
from storage.figures import stamp_of
from storage.stamp_rows import Stamped, read_stamps
from storage.statedb import snapshot
from storage.window_rows import scan_service_windows

DAY_MINUTES = 1_440
SLOT_MINUTES = 30
"""As the stamps' blocks are."""
MOST_SLOTS = 200


class _Slot(msgspec.Struct, frozen=True):
    """Service counts of a half hour, all versions together, as they are stored; and its newest minute."""

    counts: bytes
    newest: int


def read_activity(connection: sqlite3.Connection, versions: KnownVersions, model: str) -> Activity:
    """The day of arrival time that ends with the newest minute, in half hours of the clock.

    Args:
        connection: The state database.
        versions: For where the model's figures are kept.
        model: Whose traffic.
    """
    with snapshot(connection):
        newest = Horizon.now(connection).newest_minute(connection, model)
        if newest is None:
            return Activity(total=latency_of(add_up(())), slots=(), newest_at=None)
        first, last = newest + 1 - DAY_MINUTES, newest + 1
        begin, end = first // SLOT_MINUTES, newest // SLOT_MINUTES
        stamps = read_stamps(connection, Stamped.SERVICE, model, first=begin, last=end)
        answers = Answers(versions.figures(model) / "half-hours.answers", most=MOST_SLOTS)
        found: dict[int, _Slot] = {}
        for block in sorted({block for block, _ in stamps}):
            stamp = stamp_of([(version, one) for (at, version), one in stamps.items() if at == block])
            minutes = max(first, block * SLOT_MINUTES), min(last, (block + 1) * SLOT_MINUTES)
            key = f"{minutes[0]}-{minutes[1]}"
            slot = answers.find(key, stamp, _Slot)
            if slot is None:
                slot = _add_up(connection, model, minutes)
                answers.put(key, stamp, slot)
            found[block] = slot
    answers.save()
    windows = {block: parse_service(slot.counts) for block, slot in found.items()}
    slots = [windows[block].requests if block in windows else 0 for block in range(begin, end + 1)]
    return Activity(
        total=latency_of(add_up(windows.values())), slots=tuple(slots) if any(slots) else (),
        newest_at=_moment([slot.newest for slot in found.values()]),
    )  # fmt: skip


def _add_up(connection: sqlite3.Connection, model: str, minutes: tuple[int, int]) -> _Slot:
    stored = list(scan_service_windows(connection, model, first_minute=minutes[0], last_minute=minutes[1]))
    total = add_up(parse_service(content) for _, content in stored)
    return _Slot(counts=total.dump(), newest=max((key.minute for key, _ in stored), default=-1))


def _moment(minutes: Sequence[int]) -> datetime | None:
    newest = max(minutes, default=-1)
    return None if newest < 0 else datetime.fromtimestamp(newest * 60, UTC)
