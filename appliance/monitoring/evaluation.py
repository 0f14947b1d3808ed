"""Evaluation: after each whole day of event time, judges the model's window that ends with it; alerts follow.

The window is the one the model declares (``window`` in its TOML, at least a day), so that a model with little traffic
is judged on enough rows. A day is judged once a later day has events; quality, once labels cover the window. The work
a look may do is bounded: a long replay is caught up with over several looks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from appliance.errors import NotFound
from appliance.monitoring.alerts import SEVERITY, Standing
from appliance.monitoring.data_quality_verdict import judge_data_quality
from appliance.monitoring.drift_report import ColumnDrift, DatasetDrift, DriftReport
from appliance.monitoring.horizon import Horizon
from appliance.monitoring.judged import judge_drift, judge_span_quality
from appliance.monitoring.known import KnownVersions
from appliance.monitoring.quality import MATURE_COVERAGE, Verdict
from appliance.monitoring.quiet_days import BEFORE_ALL, QuietDays
from appliance.monitoring.spans import Span, State
from storage.alert_rows import NewAlert, StandingRow, close_alert, find_standing, open_alert, put_standing
from storage.data_quality_rows import checked_models, next_checked_days
from storage.outcome_rows import labelled_by_day
from storage.statedb import transaction
from storage.window_rows import next_days, predictions_by_bucket, watched_models

DRIFT, PREDICTION, QUALITY, DATA_QUALITY = "drift", "prediction", "quality", "data_quality"
MOST_DAYS = 31
"""Days of one model judged in one look."""
NAMED_COLUMNS = 3
"""Columns whose sentences an alert quotes."""


def evaluate(connection: sqlite3.Connection, versions: KnownVersions) -> int:
    """Judge the days that are complete and not judged yet.

    Returns:
        Alerts opened and closed.
    """
    changed = 0
    horizon = Horizon.now(connection)
    for model in watched_models(connection):
        newest = horizon.newest_of(horizon.newest_hours(connection, model))
        if newest is None:
            continue
        today = newest // 24
        changed += _drift_days(connection, versions, model, today)
        changed += _quality_days(connection, versions, model, today)
    for model in checked_models(connection):
        newest_hour = horizon.newest_quality_hour(connection, model) or 0
        changed += _data_quality_days(connection, versions, model, newest_hour // 24)
    return changed


def _drift_days(connection: sqlite3.Connection, versions: KnownVersions, model: str, today: int) -> int:
    after = _judged_day(connection, model, DRIFT, today)
    hours = versions.window_hours(model)
    changed = 0
    for day in next_days(connection, model, after=after, before=today, limit=MOST_DAYS):
        version = main_version(connection, model, day)
        known = versions.find(model, version)
        if known is None:
            verdicts = dict.fromkeys((DRIFT, PREDICTION), _no_data(f"version {version} has no readable bundle"))
        else:
            span = window_until(model, version, day, hours)
            report = judge_drift(connection, known, span, labels=False)
            verdicts = {DRIFT: _drift_verdict(report), PREDICTION: _worst(report.outputs)}
        changed += settle(connection, model, day, verdicts, today=today)
    return changed


def _data_quality_days(connection: sqlite3.Connection, versions: KnownVersions, model: str, today: int) -> int:
    """Days with rows or refusals; one that has too few of both moves no standing and counts not among ``MOST_DAYS``."""
    quiet = versions.quiet_days(model, versions.window_hours(model))
    quiet.forget(_judged_day(connection, model, DATA_QUALITY, today))
    for version, day in list(quiet.unread.items()):
        if versions.find(model, version) is not None:
            del quiet.unread[version]
            quiet.reopen(day)
    if quiet.until >= today:
        quiet.reopen(today - 1)  # the clock ran ahead
    changed = settled = 0
    for day, newest_version in _days_after(connection, model, quiet.until, before=today):
        verdict = None
        if day not in quiet:
            version = find_main_version(connection, model, day) or newest_version
            verdict = _data_quality_verdict(connection, versions, quiet, window_until(model, version, day, quiet.hours))
        if verdict is not None:
            changed += settle(connection, model, day, {DATA_QUALITY: verdict}, today=today)
        quiet.until = day  # not before: a day whose verdict could not be written is judged again
        if verdict is None:
            continue
        settled += 1
        if settled == MOST_DAYS:
            break
    return changed


def _days_after(connection: sqlite3.Connection, model: str, after: int, *, before: int) -> Iterator[tuple[int, int]]:
    """Every day between with rows or refusals, ascending, with the newest version that had any."""
    while days := next_checked_days(connection, model, after=after, before=before, limit=MOST_DAYS):
        yield from days.items()
        after = max(days)


def _data_quality_verdict(
    connection: sqlite3.Connection, versions: KnownVersions, quiet: QuietDays, span: Span
) -> Verdict | None:
    """What is odd about the rows of the window; None, and noted, when that cannot be told yet."""
    day = span.last_hour // 24 - 1
    known = versions.find(span.model, span.version)
    if known is None:
        quiet.unread.setdefault(span.version, day)
        return None
    report = judge_data_quality(connection, versions, known, span)
    if report.state is State.NOT_ENOUGH_DATA:
        quiet.add(day)  # so that one refusal today judges no day of a replay that comes later
        return None
    return Verdict(state=report.state, sentence=report.sentence)


def _quality_days(connection: sqlite3.Connection, versions: KnownVersions, model: str, today: int) -> int:
    """Days whose labels are there, however old; one that never gets them is passed once a later one has them."""
    after = _judged_day(connection, model, QUALITY, today)
    hours = versions.window_hours(model)
    changed = 0
    for day, version in _labelled_days(connection, versions, model, after=after, today=today):
        report = judge_span_quality(connection, versions, window_until(model, version, day, hours), {})
        verdict = Verdict(state=report.state, sentence=report.sentence)
        changed += settle(connection, model, day, {QUALITY: verdict}, today=today)
    return changed


def _labelled_days(
    connection: sqlite3.Connection, versions: KnownVersions, model: str, *, after: int, today: int
) -> list[tuple[int, int]]:
    """Days whose main version has a bundle and the labels of its predictions, with that version; ascending, bounded.

    A label may come a year after its prediction, and a look may not count a year of predictions: a day's are counted
    again only when it has more labels than it had when they were too few.
    """
    found = []
    labelled = labelled_by_day(connection, model, first_day=after + 1, last_day=today)
    for (day, version), labels in sorted(labelled.items()):
        key = (model, day, version)
        if versions.too_few_labels.get(key) == labels:
            continue
        predicted = predictions_by_bucket(
            connection, model, first_hour=day * 24, last_hour=day * 24 + 24, bucket_hours=24
        )  # fmt: skip
        if labels < MATURE_COVERAGE * predicted.get(key[1:], 0):
            versions.too_few_labels[key] = labels
        elif version == find_main_version(connection, model, day) and versions.find(model, version) is not None:
            found.append((day, version))
        if len(found) == MOST_DAYS:
            break
    return found


def main_version(connection: sqlite3.Connection, model: str, day: int) -> int:
    """The version that answered most of a day that has events."""
    version = find_main_version(connection, model, day)
    if version is None:
        raise NotFound(f"model {model!r} answered nothing on day {day} since 1970")
    return version


def find_main_version(connection: sqlite3.Connection, model: str, day: int) -> int | None:
    """The version that answered most of the day, or None when nobody did."""
    predicted = predictions_by_bucket(
        connection, model, first_hour=day * 24, last_hour=day * 24 + 24, bucket_hours=24
    )  # fmt: skip
    if not predicted:
        return None
    (_, version), _ = max(predicted.items(), key=lambda item: (item[1], item[0]))
    return version


def window_until(model: str, version: int, day: int, hours: int) -> Span:
    """The ``hours`` that end with the day."""
    end = day * 24 + 24
    return Span(model=model, version=version, first_hour=end - hours, last_hour=end)


def _judged_day(connection: sqlite3.Connection, model: str, subject: str, today: int) -> int:
    """The newest judged day since 1970; a day before every other when none was.

    One that was judged while the clock ran ahead says nothing about which real days were: yesterday is judged next.
    """
    standing = find_standing(connection, model, subject)
    if standing is None:
        return BEFORE_ALL
    return standing.day if standing.day < today else today - 2


def settle(connection: sqlite3.Connection, model: str, day: int, verdicts: dict[str, Verdict], *, today: int) -> int:
    """Write the day's verdicts and the alerts that follow, together; a day that another look judged is left alone.

    Args:
        connection: Of the state database.
        model: Whose.
        day: Since 1970, before ``today``.
        verdicts: By subject.
        today: Not judged yet; a day from it on was judged while the clock ran ahead, and gives way.

    Returns:
        Alerts opened and closed.
    """
    changed = 0
    at = datetime.fromtimestamp((day + 1) * 86_400, UTC)
    with transaction(connection):
        for subject, verdict in verdicts.items():
            row = find_standing(connection, model, subject)
            if row is not None and day <= row.day < today:
                continue
            before = Standing(settled=State(row.settled), last=State(row.last)) if row else Standing()
            after = before.after(verdict.state)
            put_standing(
                connection, model, subject, StandingRow(settled=after.settled, last=after.last, day=day)
            )  # fmt: skip
            if after.settled is before.settled:
                continue
            changed += close_alert(connection, model, subject, at)
            if after.settled is not State.OK:
                eased = "" if verdict.state is after.settled else "Easing. "
                message = eased + verdict.sentence
                alert = NewAlert(model=model, subject=subject, state=after.settled, message=message, opened_at=at)
                open_alert(connection, alert)
                changed += 1
    return changed


def _drift_verdict(report: DriftReport) -> Verdict:
    dataset: DatasetDrift = report.dataset
    sentences = {column.name: column.sentence for column in report.columns}
    named = " ".join(sentences[name] for name in dataset.drifted[:NAMED_COLUMNS])
    judged = len([column for column in report.columns if column.state is not State.NOT_ENOUGH_DATA])
    return Verdict(
        state=dataset.state, sentence=f"{len(dataset.drifted)} of {judged} columns moved. {named}".rstrip()
    )  # fmt: skip


def _worst(columns: Sequence[ColumnDrift]) -> Verdict:
    """The verdict of the first of the worst; one that cannot be told does not count beside one that can."""
    judged = [column for column in columns if column.state is not State.NOT_ENOUGH_DATA]
    worst = max(judged or columns, key=lambda column: SEVERITY.index(column.state) if judged else 0)
    return Verdict(state=worst.state, sentence=worst.sentence)


def _no_data(reason: str) -> Verdict:
    return Verdict(state=State.NOT_ENOUGH_DATA, sentence=f"Cannot be judged: {reason}.")
