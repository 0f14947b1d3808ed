"""The report of a model as one page that needs nothing else. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from appliance.figures import figure
from appliance.monitoring.alerts import Alert
from appliance.monitoring.data_quality_report import DataQualityReport, Oddity, Share
from appliance.monitoring.drift_report import DriftDetail, DriftReport
from appliance.monitoring.quality_report import QualityReport, QualitySeries, SegmentReport
from appliance.monitoring.report_columns import MOST_COLUMNS, first_classes, first_drifted, first_odd, left_out
from appliance.monitoring.report_svg import bars_svg, lines_svg
from appliance.monitoring.segments import Rate
from appliance.monitoring.service_report import LatencyReport, TrafficSeries
from appliance.monitoring.skew import finding_of
from appliance.monitoring.spans import State, duration_text
from appliance.monitoring.study import Study
from storage.skew_rows import SkewRow

if TYPE_CHECKING:
    from appliance.monitoring.report import ModelReport

LONG_CELL = 40
"""Characters of markup from which a cell is a sentence."""


def page_of(report: ModelReport) -> str:
    """One page, with its pictures as SVG in it; opens without a network and runs no script."""
    drift, quality = report.drift, report.quality
    title = f"{drift.model}, version {drift.version}"
    window = f"{drift.window.start:%Y-%m-%d %H:%M} to {drift.window.end:%Y-%m-%d %H:%M} UTC"
    chapters = [
        f"<h1>{escape(title)}</h1><p>{window}; {int(drift.rows.current):,} predictions. "
        f"Made {report.made_at:%Y-%m-%d %H:%M} UTC.</p>",
        _alerts_html(report.alerts),
        _drift_html(drift, report.pictures, report.studies),
        _rows_html(report.rows),
        _quality_html(quality, report.series),
        _fairness_html(report.fairness),
        _skew_html(report.proofs),
        _service_html(report.latency, report.traffic),
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)}</title><style>{_STYLE}</style></head><body>{''.join(chapters)}</body></html>"
    )


def _alerts_html(alerts: Sequence[Alert]) -> str:
    if not alerts:
        return "<h2>Alerts</h2><p>No alert.</p>"
    rows = [
        (
            _badge(alert.state.value if alert.closed_at is None else "over"), escape(alert.subject),
            f"{alert.opened_at:%Y-%m-%d %H:%M}",
            f"{alert.closed_at:%Y-%m-%d %H:%M}" if alert.closed_at else "open", _sentence(alert.message),
        )
        for alert in alerts
    ]  # fmt: skip
    return "<h2>Alerts</h2>" + _table(("", "about", "since", "until", "what happened"), rows)


def _drift_html(drift: DriftReport, pictures: Sequence[DriftDetail], studies: Sequence[Study]) -> str:
    dataset = drift.dataset
    weighted = "" if dataset.weighted_share is None else f", {dataset.weighted_share:.0%} by importance"
    shown = first_drifted(drift.columns)
    columns = [*shown, *drift.outputs, *([drift.label] if drift.label else [])]
    rows = [
        (
            _badge(column.state.value), escape(column.name), _number(column.psi), _number(column.noise_floor),
            _number(column.js), _number(column.ks), f"{column.null_share.current:.1%}", f"{column.unseen_share:.1%}",
            _sentence(column.told),
        )
        for column in columns
    ]  # fmt: skip
    heads = ("", "column", "psi", "by chance", "js", "ks", "missing", "unseen", "what happened")
    drawn = "".join(
        f"<figure>{bars_svg(picture.bins, label=picture.drift.name)}<figcaption>{escape(picture.drift.name)} "
        f"{_badge(picture.drift.state.value)}</figcaption></figure>"
        for picture in pictures
    )
    told = "".join(f"<p>{_badge(study.state.value)} {_sentence(study.sentence)}</p>" for study in studies)
    lead = f"<p>{dataset.drifted_share:.0%} of the columns moved{weighted}.</p>"
    return (
        f"<h2>Drift {_badge(dataset.state.value)}</h2>{lead}"
        f"{told}{_table(heads, rows)}{_left_out(len(drift.columns) - len(shown), drift.model, 'drift')}"
        f'<p>Grey: reference. Blue: now.</p><div class="pictures">{drawn}</div>'
    )


def _rows_html(found: DataQualityReport) -> str:
    shown = first_odd(found.columns)
    heads = ("", "column", "missing", "unseen", "out of range", "refused", "of another type", "what changed")
    rows = [
        (
            _badge(one.state.value), escape(one.name), *(_odd(one.shares.get(oddity)) for oddity in Oddity),
            _sentence(one.sentence),
        )
        for one in sorted(shown, key=lambda one: one.state is State.OK)
    ]  # fmt: skip
    unknown = "".join(
        f"<li>{escape(one.name or 'further columns')}: {one.rows:,} rows ({one.share:.1%})</li>"
        for one in found.unknown[:MOST_COLUMNS]
    )
    repeated = "" if found.duplicate_share is None else f" {found.duplicate_share:.1%} of the rows repeat another."
    ignored = f"<p>Sent, unknown and ignored:</p><ul>{unknown}</ul>" if unknown else ""
    return (
        f"<h2>Data quality {_badge(found.state.value)}</h2><p>{_sentence(found.sentence)} {found.rows:,} rows, "
        f"{found.refused:,} requests refused for a column; schema {found.schema}.{repeated}</p>"
        f"{_table(heads, rows)}{_left_out(len(found.columns) - len(shown), found.model, 'data-quality')}{ignored}"
    )


def _left_out(count: int, model: str, verb: str) -> str:
    told = left_out(count, f"'appliance {verb} {model}' has them all")
    return f"<p>{escape(told)}</p>" if told else ""


def _odd(share: Share | None) -> str:
    return "" if share is None else f"{share.share.reference:.1%} &rarr; {share.share.current:.1%}"


def _quality_html(quality: QualityReport, series: QualitySeries) -> str:
    estimate = quality.estimate.metrics if quality.estimate else {}
    past = quality.estimate.past_error if quality.estimate else {}
    names = list(dict.fromkeys([*quality.metrics, *estimate]))
    rows = []
    for name in names:
        low, high = quality.intervals.get(name, (None, None))
        spread = "" if low is None or high is None else f"{_number(low)} to {_number(high)}"
        rows.append(
            (
                escape(name), _number(quality.metrics.get(name)), spread, _number(estimate.get(name)),
                _number(past.get(name)), _number(quality.reference.get(name)), _number(quality.baseline.get(name)),
            )
        )  # fmt: skip
    heads = ("metric", "labelled", "95 %", "estimate", "was off by", "holdout", "baseline")
    main = names[0] if names else ""
    picture = lines_svg(
        [
            ("labelled", [(p.at, p.metrics.get(main)) for p in series.points if p.mature]),
            ("labels still coming", [(p.at, p.metrics.get(main)) for p in series.points if not p.mature]),
            ("estimate", [(p.at, p.estimate.get(main)) for p in series.points]),
        ],
        level=series.reference.get(main),
    )
    more = (
        ("" if quality.mature else " Below 90 % the figures may still turn.") + _delay(quality) + _past_error(quality)
    )
    return (
        f"<h2>Quality {_badge(quality.state.value)}</h2><p>{escape(quality.sentence)} {quality.labelled:,} of "
        f"{quality.predicted:,} predictions have a label ({quality.coverage:.1%}).{more}</p>"
        f"{_table(heads, rows)}{_classes_html(quality)}<p>{escape(main)} over time; dashed: the holdout.</p>{picture}"
    )


def _delay(quality: QualityReport) -> str:
    if quality.delay_p50_s is None or quality.delay_p95_s is None:
        return ""
    half, most = duration_text(quality.delay_p50_s), duration_text(quality.delay_p95_s)
    return f" Half the labels came within {half}, 19 of 20 within {most}."


def _past_error(quality: QualityReport) -> str:
    """What an estimate is worth, where there is one."""
    if quality.estimate is None:
        return ""
    if not quality.estimate.past_error:
        return " How far off the estimate is, is not known: no labelled days yet."
    return f" The estimate was off by so much on average on {quality.estimate.days} labelled days."


def _classes_html(quality: QualityReport) -> str:
    if not quality.classes:
        return ""
    shown = first_classes(quality.classes)
    heads = (
        "class",
        "labelled",
        "precision",
        "95 %",
        "at training",
        "recall",
        "95 %",
        "at training",
        "f1",
        "at training",
    )
    rows = []
    for one in shown:
        cells = [escape(one.now.name), f"{one.now.rows:,}"]
        for name in ("precision", "recall"):
            low, high = one.intervals.get(name, (None, None))
            cells += [
                _number(getattr(one.now, name)), "" if low is None else f"{_number(low)} to {_number(high)}",
                _number(getattr(one.holdout, name, None)),
            ]  # fmt: skip
        rows.append((*cells, _number(one.now.f1), _number(one.holdout.f1 if one.holdout else None)))
    left = _left_out(len(quality.classes) - len(shown), quality.model, "quality")
    return f"<h3>By class</h3>{_table(heads, rows)}{left}"


def _fairness_html(found: Sequence[SegmentReport]) -> str:
    if not found:
        return ""
    heads = ("group", "labelled rows", "positive answers", "95 %", "true positives", "false positives", "")
    told = []
    for one in found:
        rows = [
            (
                escape(group.name), f"{group.rows:,}", *_rate(group.selection), *_rate(group.true_positive)[:1],
                *_rate(group.false_positive)[:1], "" if group.enough else "too few to compare",
            )
            for group in one.segments
        ]  # fmt: skip
        verdict = "" if one.fairness is None else f" {_sentence(one.fairness.sentence)}"
        state = State.WARN if one.fairness is not None and one.fairness.flagged else State.OK
        badge = _badge(state.value) if one.fairness is not None else ""
        unknown = f" Of {one.unknown:,} labelled predictions the group is not known." if one.unknown else ""
        told.append(f"<h3>{escape(one.column)} {badge}</h3><p>{verdict}{unknown}</p>{_table(heads, rows)}")
    return "<h2>Fairness</h2>" + "".join(told)


def _rate(rate: Rate | None) -> tuple[str, str]:
    if rate is None or rate.value is None:
        return "", ""
    low, high = rate.interval
    return f"{rate.value:.1%}", "" if low is None or high is None else f"{low:.1%} to {high:.1%}"


def _skew_html(proofs: Sequence[SkewRow]) -> str:
    if not proofs:
        return ""
    rows = [
        (_badge(found.state.value), str(row.version), what, f"{at:%Y-%m-%d %H:%M}", _sentence(found.sentence))
        for row in proofs
        for what, text, at in (
            ("rows of the training, over HTTP", row.replay, row.replayed_at),
            ("first live rows", row.live, row.live_at),
        )
        if at is not None and (found := finding_of(text)) is not None
    ]  # fmt: skip
    return "<h2>Training against serving</h2>" + _table(("", "version", "proof", "when", "what was found"), rows)


def _service_html(latency: LatencyReport, traffic: TrafficSeries) -> str:
    parts = [("all", latency.total), *((f"version {version}", one) for version, one in latency.by_version.items())]
    rows = [
        (
            label, f"{one.count:,}", f"{one.rows:,}", f"{one.errors:,}", *map(_milliseconds, (
                one.p50_us, one.p95_us, one.p99_us, one.max_us)),
        )
        for label, one in parts
    ]  # fmt: skip
    heads = ("", "requests", "rows", "errors", "p50 ms", "p95 ms", "p99 ms", "max ms")
    picture = lines_svg([("requests", [(p.at, float(p.latency.count)) for p in traffic.points])])
    return f"<h2>Service</h2>{_table(heads, rows)}<p>Requests over time.</p>{picture}"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Cells are markup already."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
    body = "".join("<tr>" + "".join(f"<td{_prose(cell)}>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def _prose(cell: str) -> str:
    """Sentences wrap, figures and names do not."""
    return ' class="prose"' if len(cell) > LONG_CELL else ""


def _sentence(text: str) -> str:
    """A sentence without the quoting marks of a terminal."""
    return escape(text.replace("`", ""))


def _badge(state: str) -> str:
    return f'<b class="{escape(state)}">{escape(state.replace("_", " "))}</b>'


def _number(value: float | None) -> str:
    return "" if value is None else figure(value)


def _milliseconds(value_us: float | None) -> str:
    return "" if value_us is None else f"{value_us / 1_000:.2f}"


_STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;color:#17202b;max-width:72rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-size:13px}th,td{text-align:left;padding:.25rem .75rem .25rem 0;"
    "border-bottom:1px solid #dfe3e8;vertical-align:top}.wide{overflow-x:auto}"
    "td{white-space:nowrap}td.prose{white-space:normal;min-width:16rem}"
    "b{font-weight:600;padding:0 .4rem;border-radius:3px;background:#eceff3}b.ok{background:#e3f3e9;color:#17713f}"
    "b.warn{background:#fbf0d9;color:#8a5a00}b.alarm{background:#fbe6e4;color:#b3261e}"
    ".pictures{display:flex;flex-wrap:wrap;gap:1rem}figure{margin:0}figcaption{font-size:13px}svg{max-width:100%;height:auto}"
    "svg text:not([fill]){fill:currentColor}:root{color-scheme:light dark}"
    "@media(prefers-color-scheme:dark){body{background:#12161c;color:#e3e8ee}th,td{border-color:#2b323c}"
    "b{background:#2b323c}b.ok{background:#17382a;color:#7fd6a4}b.warn{background:#3d2f12;color:#e9b65a}"
    "b.alarm{background:#43201e;color:#f19a92}}"
)
