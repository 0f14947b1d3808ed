"""Figures and times as people read them."""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime
from unicodedata import combining, normalize

from storage.columns import Dtype
from ui.clicks import in_clicks
from ui.texts import _

NONE = "\u2013"
"""Stands where there is no figure."""

_FULL = 999.5
"""From here on three digits say 1,000, which is one of the next unit."""


def number(value: float | None, *, digits: int = 4) -> str:
    """A figure with sensible digits, thousands apart: 0.8312, 12.35, 17,389; a dash for none."""
    if value is None or (isinstance(value, float) and not math.isfinite(value)):
        return NONE
    if isinstance(value, int) or float(value).is_integer():
        return f"{value:,.0f}"
    whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
    text = f"{value:,.{max(digits - whole, 1 if whole < 5 else 0)}f}"
    if not whole and float(text) == 0:
        return f"{value:.{digits - 1}g}"
    return text


def share(value: float | None) -> str:
    """A share as a percentage: 0.1234 is 12.3 %."""
    if value is None or not math.isfinite(value):
        return NONE
    percent = value * 100
    return f"{percent:.0f} %" if percent in {0.0, 100.0} else f"{percent:.1f} %" if percent >= 0.05 else "< 0.1 %"


def micros(value: float | None) -> str:
    """A time given in microseconds, in the unit that reads best."""
    if value is None:
        return NONE
    if value < _FULL:
        return f"{value:.0f} µs"
    return f"{value / 1e3:.3g} ms" if value < _FULL * 1e3 else f"{_three(value / 1e6)} s"


def seconds(value: float | None) -> str:
    """A duration given in seconds: 0.4 s, 12 s, 3 min 20 s, 2 h 5 min, 30 d."""
    if value is None:
        return NONE
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        said = _("{minutes} min {rest} s") if rest else _("{minutes} min")
        return said.format(minutes=minutes, rest=rest)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        days, hours = divmod(hours, 24)
        return (_("{days} d {hours} h") if hours else _("{days} d")).format(days=days, hours=hours)
    return (_("{hours} h {minutes} min") if minutes else _("{hours} h")).format(hours=hours, minutes=minutes)


def about(low_s: float, high_s: float) -> str:
    """A range of seconds, roughly: a few seconds, about 40 s, about 2 min to 5 min."""
    if high_s < 10:
        return _("a few seconds")
    low, high = _rough(low_s), _rough(high_s)
    if low == high:
        return _("about {span}").format(span=seconds(high))
    return _("about {low} to {high}").format(low=seconds(low), high=seconds(high))


def _rough(value: float) -> float:
    """To steps that grow with it, since nobody knows it better."""
    for limit, step in ((60, 10), (600, 60), (3_600, 300)):
        if value < limit:
            return max(round(value / step), 1) * step
    return round(value / 1_800) * 1_800


def size(value: float) -> str:
    """Bytes, in the unit that reads best: 512 MB, 23.5 GB."""
    if value < 1_000:
        return f"{value:.0f} B"
    for unit, name in ((1e6, "MB"), (1e9, "GB")):
        if value < _FULL * unit:
            return f"{value / unit:.3g} {name}"
    return f"{_three(value / 1e12)} TB"


def limit(value: int) -> str:
    """Bytes that a setting limits something to, in the unit that it is written in: 32 MiB, 4 GiB; else as ``size``."""
    for unit, name in ((1 << 30, "GiB"), (1 << 20, "MiB")):
        if value and value % unit == 0:
            return f"{value // unit:,} {name}"
    return size(value)


def _three(value: float) -> str:
    """Three digits, or as many as there are before the point."""
    return f"{value:.3g}" if value < _FULL else f"{value:,.0f}"


def when(value: datetime | None) -> str:
    """A moment, in UTC and said so: 21 Nov 2026, 22:53 UTC."""
    return value.astimezone(UTC).strftime("%d %b %Y, %H:%M UTC").lstrip("0") if value else NONE


def ago(value: datetime | None, *, now: datetime) -> str:
    """How long ago, roughly: just now, 5 min ago, 3 h ago, 12 d ago."""
    if value is None:
        return _("never")
    age_s = (now - value).total_seconds()
    if age_s < 45:
        return _("just now")
    for limit, unit, said in (
        (5_400, 60, _("{count} min ago")), (129_600, 3_600, _("{count} h ago")), (math.inf, 86_400, _("{count} d ago")),
    ):  # fmt: skip
        if age_s < limit:
            return said.format(count=f"{age_s / unit:.0f}")
    return when(value)


def plain(sentence: str) -> str:
    """A sentence as it stands on a page: no quoting marks of a terminal, and its own places for commands."""
    return in_clicks(sentence).replace("`", "")


_SPELT = str.maketrans({
    "ä": "ae", "ö": "oe", "ü": "ue", "ß": "ss", "æ": "ae", "ø": "oe", "å": "aa", "œ": "oe", "ł": "l", "đ": "d",
    "þ": "th", "ð": "d",
})  # fmt: skip


def plain_name(words: str) -> str:
    """Words in the letters that names of datasets and models have: Fernwärme (2025) is fernwaerme-2025."""
    spelt = normalize("NFKD", normalize("NFC", words).lower().translate(_SPELT))
    letters = "".join(letter for letter in spelt if not combining(letter))
    return re.sub(r"[^a-z0-9_-]+", "-", letters).strip("-_")


METRICS = {
    "rmse": _("RMSE"),
    "mae": _("MAE"),
    "r2": "R²",
    "auc": _("AUC"),
    "average_precision": _("Average precision"),
    "log_loss": _("Log loss"),
    "brier": _("Brier score"),
    "accuracy": _("Accuracy"),
    "f1": "F1",
    "macro_f1": _("Macro F1"),
    "bias": _("Bias"),
    "precision": _("Precision"),
    "recall": _("Recall"),
    "ece": _("Calibration error"),
}
"""How the metrics are called on the page."""


def metric(name: str) -> str:
    """A metric's name on the page."""
    return METRICS.get(name, name.replace("_", " "))


DTYPES = {
    Dtype.BOOL: _("yes or no"),
    Dtype.INT: _("whole number"),
    Dtype.FLOAT: _("number"),
    Dtype.STRING: _("text"),
    Dtype.DATE: _("date"),
    Dtype.DATETIME: _("date and time"),
}
"""What a column holds, as people say it."""

SEVERITY = {"alarm": 3.0, "warn": 2.0, "ok": 1.0, "not_enough_data": 0.0}
"""States in the order in which tables show them, the worst highest."""
