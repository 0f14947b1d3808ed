"""Which version and which hours a question about a model means."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

from appliance.errors import NotFound
from appliance.monitoring.horizon import Horizon
from appliance.monitoring.known import KnownVersion, KnownVersions
from appliance.monitoring.spans import Span
from storage.deployment_rows import find_deployment
from storage.model_rows import find_model

HOUR_S = 3_600


def find_span(
    connection: sqlite3.Connection, versions: KnownVersions, name: str, window_s: int,
    *, version: int | None = None, until: datetime | None = None,
) -> tuple[KnownVersion, Span]:  # fmt: skip
    """The version asked for or the one that serves, and the hours of it that are meant.

    Args:
        connection: The state database.
        versions: To read the version's bundle.
        name: The model.
        window_s: Seconds, rounded up to whole hours.
        version: None: the deployed champion, or the version with the newest events when the champion has none.
        until: End of the span; None: the version's newest event time that is not ahead of the clock (``Horizon``).

    Raises:
        NotFound: No such model, or no version of it is published.
    """
    newest = Horizon.now(connection).newest_hours(connection, name)
    chosen = _choose(connection, versions, name, newest) if version is None else version
    known = versions.find(name, chosen)
    if known is None:
        raise NotFound(
            f"version {chosen} of model {name!r} has no readable bundle; 'appliance versions {name}' lists them"
        )
    if until is not None:
        last_hour = -int(-until.timestamp() // HOUR_S)
    else:
        last_hour = newest.get(chosen, int(datetime.now(UTC).timestamp()) // HOUR_S) + 1
    return known, ending_at(name, chosen, last_hour, window_s)


def of_all_versions(connection: sqlite3.Connection, span: Span, window_s: int) -> Span:
    """As many seconds before the newest event of any version of the model as asked; the span's where there is none."""
    horizon = Horizon.now(connection)
    newest = horizon.newest_of(horizon.newest_hours(connection, span.model))
    last_hour = span.last_hour if newest is None else newest + 1
    return ending_at(span.model, span.version, last_hour, window_s)


def ending_at(name: str, version: int, last_hour: int, window_s: int) -> Span:
    """The span of so many seconds, rounded up to whole hours, before an hour since 1970."""
    return Span(model=name, version=version, first_hour=last_hour - max(1, -(-window_s // HOUR_S)), last_hour=last_hour)


def require_model(connection: sqlite3.Connection, name: str) -> None:
    """Nothing, when there is such a model.

    Raises:
        NotFound: There is none.
    """
    if find_model(connection, name) is None:
        raise NotFound(f"there is no model {name!r}; 'appliance models' lists them")


def _choose(connection: sqlite3.Connection, versions: KnownVersions, name: str, newest: dict[int, int]) -> int:
    live = find_deployment(connection, name, "champion")
    if live is not None and (live.version in newest or not newest):
        return live.version
    if newest:
        return max(newest, key=lambda version: (newest[version], version))
    if published := versions.published(name):
        return published[-1]
    require_model(connection, name)
    raise NotFound(f"model {name!r} has no version yet; train it with 'appliance train {name}'")
