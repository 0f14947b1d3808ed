"""drift, quality, latency, drift-compare."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, or_dash, print_json, print_table, show_metrics, show_time
from appliance.house import Appliance
from appliance.monitoring.data_quality_report import Oddity, Share
from appliance.monitoring.drift_report import ColumnDrift
from appliance.monitoring.quality_report import ClassQuality, QualityReport, SegmentReport
from appliance.monitoring.spans import Asked, Window, duration_text, parse_moment, parse_window

MONTH = "30d"
DAY = "24h"


def drift(
    name: str, *, window: str | None = None, until: str | None = None, version: int | None = None,
    against: str = "training", json: Json = False,
) -> None:  # fmt: skip
    """How far a model's traffic moved from what it was trained on.

    Args:
        name: The model.
        window: Such as 24h or 7d, or FROM/TO in dates or times; the model's own when left out.
        until: The window's end, such as 2026-01-31 or 2026-01-31T18:00+01:00; the newest event when left out.
        version: The version that serves when left out.
        against: training, previous (the window before), FROM/TO in dates, or dataset:VERSION.
    """
    house = open_house()
    asked = _asked(house, name, window, until)
    report = house.monitoring.drift(name, asked.seconds, version=version, until=asked.until, against=against)
    studies = house.monitoring.studies(name)
    if json:
        print_json({**report.to_json(), "studies": [study.to_json() for study in studies]})
        return
    print(f"{report.model} version {report.version}, {_span(report.window)}: {report.dataset.state}")
    _print_columns(report.everything)
    for study in studies:
        print(f"  {study.kind}, until {study.day}: {study.sentence}")


def data_quality(
    name: str, *, window: str | None = None, until: str | None = None, version: int | None = None, json: Json = False
) -> None:
    """What was odd about the rows that a model took, by column, held against its training.

    Args:
        name: The model.
        window: Such as 24h or 7d, or FROM/TO in dates or times; the model's own when left out.
        until: The window's end, such as 2026-01-31 or 2026-01-31T18:00+01:00; the newest event when left out.
        version: The version that serves when left out.
    """
    house = open_house()
    asked = _asked(house, name, window, until)
    report = house.monitoring.data_quality(name, asked.seconds, version=version, until=asked.until)
    if json:
        print_json(report.to_json())
        return
    print(f"{report.model} version {report.version}, {_span(report.window)}: {report.state}")
    print(f"  {report.sentence}")
    repeated = "-" if report.duplicate_share is None else f"{report.duplicate_share:.1%}"
    print(f"  {report.rows} rows, {repeated} of them repeated; {report.refused} requests refused for a column")
    others = [f"version {one} takes other columns" for one, s in report.schemas.items() if s != report.schema]
    print(f"  schema {report.schema}{''.join(f'; {other}' for other in others)}")
    print_table(
        ("column", "state", "missing", "unseen", "out of range", "refused", "of another type"),
        [(one.name, one.state, *(_odd(one.shares.get(oddity)) for oddity in Oddity)) for one in report.columns],
    )
    for column in report.unknown:
        known_to = f"; version {', '.join(map(str, column.versions))} takes it" if column.versions else ""
        print(f"  ignored: {column.name or 'further columns'}, in {column.rows} rows ({column.share:.1%}){known_to}")


def _odd(share: Share | None) -> str:
    return "" if share is None else f"{share.share.reference:.1%} -> {share.share.current:.1%}"


def skew(name: str, *, json: Json = False) -> None:
    """How each deployment was proved: rows of the training replayed over HTTP, and the first live rows.

    Args:
        name: The model.
    """
    from appliance.monitoring.skew import finding_of, skew_json

    house = open_house()
    house.models.get(name)
    rows = house.monitoring.skew(name)
    if json:
        print_json({"deployments": [skew_json(row) for row in rows]})
        return
    table = []
    for row in rows:
        for what, text, at in (("replay", row.replay, row.replayed_at), ("live rows", row.live, row.live_at)):
            found = finding_of(text)
            told = ("waiting", "", "") if found is None or at is None else (found.state, show_time(at), found.sentence)
            table.append((row.version, what, *told))
    print_table(("version", "proof", "state", "when", "what was found"), table)


def drift_compare(reference: str, current: str, *, target: str | None = None, json: Json = False) -> None:
    """Hold one file against another by the same rule, without any model.

    Args:
        reference: CSV, Parquet or NDJSON: what was.
        current: Likewise: what is.
        target: A column that is judged apart from the inputs.
    """
    from appliance.monitoring.compare import compare_files
    from appliance.monitoring.distances import MOST_VALUES

    report = compare_files(reference, current, target=target)
    if json:
        print_json(report.to_json())
        return
    print(f"{report.dataset.state}: {report.dataset.drifted_share:.0%} of the columns moved")
    _print_columns(report.columns)
    sampled = [column.name for column in report.columns if column.approximate]
    if sampled:
        print(
            f"ks and wasserstein of {len(sampled)} columns are approximate: of {MOST_VALUES:,} of their values a side"
        )
    if report.target is not None:
        print(f"target {report.target.state}: {report.target.sentence}")


def quality(  # noqa: PLR0913  (a verb's options)
    name: str, *, window: str = MONTH, until: str | None = None, version: int | None = None, by: str | None = None,
    fairness: Flag = False, json: Json = False,
) -> None:  # fmt: skip
    """How right the predictions were, from the labels that came.

    Args:
        name: The model.
        window: Such as 7d or 30d, or FROM/TO in dates or times.
        until: The window's end, such as 2026-01-31 or 2026-01-31T18:00+01:00; the newest event when left out.
        version: The version that serves when left out.
        by: An input or a protected column: quality and treatment of each of its groups.
        fairness: The same by every column that the model declares protected.
    """
    asked = parse_window(window, until)
    if fairness:
        _fairness(name, asked, version, json=json)
        return
    monitoring = open_house().monitoring
    if by is not None:
        _quality_by(
            monitoring.segments(name, by, asked.seconds, version=version, until=asked.until), json=json
        )  # fmt: skip
        return
    report = monitoring.quality(name, asked.seconds, version=version, until=asked.until)
    if json:
        print_json(report.to_json())
    else:
        _print_quality(report)


def _print_quality(report: QualityReport) -> None:
    print(f"{report.model} version {report.version}, {_span(report.window)}: {report.state}")
    print(f"  {report.sentence}")
    print(f"  labelled  {report.labelled} of {report.predicted} ({report.coverage:.1%})")
    if report.delay_p50_s is not None and report.delay_p95_s is not None:
        half, most = duration_text(report.delay_p50_s), duration_text(report.delay_p95_s)
        print(f"  delay     half the labels within {half}, 19 of 20 within {most}")
    print(f"  now       {show_metrics(report.metrics) or '-'}")
    if report.intervals:
        spread = (f"{name} {or_dash(low)} to {or_dash(high)}" for name, (low, high) in report.intervals.items())
        print(f"  95 %      {', '.join(spread)}")
    if report.selection:
        print(f"  the labelled are not like the others: {report.selection}")
    print(f"  holdout   {show_metrics(report.reference)}")
    if report.estimate is not None:
        print(f"  estimate  {show_metrics(report.estimate.metrics)} (without labels)")
        if report.estimate.past_error:
            print(f"  was off   {show_metrics(report.estimate.past_error)} on {report.estimate.days} labelled days")
    if report.classes:
        _print_classes(report.classes)
    beside = [(f"version {number}", one) for number, one in report.by_version.items() if number != report.version]
    beside += [(f"version {number} as shadow", one) for number, one in report.shadow_by_version.items()]
    for which, one in beside:
        print(f"  {which}: {show_metrics(one.metrics) or 'no metrics yet'}; labelled {one.labelled} of {one.predicted}")


def _print_classes(classes: Sequence[ClassQuality]) -> None:
    def shares(name: str, one: ClassQuality) -> str:
        now, (low, high) = getattr(one.now, name), one.intervals.get(name, (None, None))
        before = "" if one.holdout is None else f"; holdout {or_dash(getattr(one.holdout, name))}"
        return or_dash(now) + ("" if now is None else f" ({or_dash(low)} to {or_dash(high)})") + before

    print_table(
        ("class", "labelled", "precision", "recall", "f1"),
        [
            (
                one.now.name, one.now.rows, shares("precision", one), shares("recall", one),
                or_dash(one.now.f1) + ("" if one.holdout is None else f"; holdout {or_dash(one.holdout.f1)}"),
            )
            for one in classes
        ],
    )  # fmt: skip


def _asked(house: Appliance, name: str, window: str | None, until: str | None) -> Asked:
    """The span that was asked for; of the model's own length where none was said."""
    if window:
        return parse_window(window, until)
    return Asked(
        seconds=house.models.get(name).spec.window_s, until=None if until is None else parse_moment(until)
    )  # fmt: skip


def _fairness(name: str, asked: Asked, version: int | None, *, json: bool) -> None:
    reports = open_house().monitoring.fairness(name, asked.seconds, version=version, until=asked.until)
    if json:
        print_json({"columns": [report.to_json() for report in reports]})
        return
    if not reports:
        print(f"{name} declares no protected column; name some under 'protected' in its TOML and train it again")
    for report in reports:
        _quality_by(report, json=False)


def _quality_by(report: SegmentReport, *, json: bool) -> None:
    if json:
        print_json(report.to_json())
        return
    print(f"{report.model} version {report.version} by {report.column}, {_span(report.window)}")
    print_table(
        (report.column, "rows", "metrics", "positive answers", "95 %"),
        [
            (
                one.name, one.rows if one.enough else f"{one.rows} (too few)", show_metrics(one.metrics),
                or_dash(one.selection.value) if one.selection else "",
                " to ".join(map(or_dash, one.selection.interval)) if one.selection else "",
            )
            for one in report.segments
        ],
    )  # fmt: skip
    if report.unknown:
        print(f"  of {report.unknown} labelled predictions the group is not known: {report.column} was not sent")
    if report.fairness is not None:
        print(f"  {'ALARM: ' if report.fairness.flagged else ''}{report.fairness.sentence}")


def latency(name: str, *, window: str = DAY, until: str | None = None, json: Json = False) -> None:
    """How long answers took.

    Args:
        name: The model.
        window: Such as 1h or 24h, or FROM/TO in dates or times, of arrival.
        until: The window's end, such as 2026-01-31T18:00; the newest request when left out.
    """
    asked = parse_window(window, until)
    report = open_house().monitoring.latency(name, asked.seconds, until=asked.until)
    if json:
        print_json(report.to_json())
        return
    print(f"{report.model}, {_span(report.window)}")
    parts = [("all", report.total), *((f"version {version}", one) for version, one in report.by_version.items())]
    parts += [(f"version {version} as shadow", one) for version, one in report.shadow_by_version.items()]
    print_table(
        ("", "requests", "rows", "errors", "p50 us", "p95 us", "p99 us", "max us"),
        [
            (
                label,
                part.count,
                part.rows,
                part.errors,
                *map(or_dash, (part.p50_us, part.p95_us, part.p99_us, part.max_us)),
            )
            for label, part in parts
        ],
    )


def _print_columns(columns: Sequence[ColumnDrift]) -> None:
    print_table(
        ("column", "state", "psi", "noise", "nulls", "unseen", "what happened"),
        [
            (
                c.name, c.state, or_dash(c.psi), or_dash(c.noise_floor), f"{c.null_share.current:.1%}",
                f"{c.unseen_share:.1%}", c.told,
            )
            for c in columns
        ],
    )  # fmt: skip


def _span(window: Window) -> str:
    return f"{show_time(window.start)} to {show_time(window.end)}"
