"""The columns of a dataset in figures, each with what is suspicious about it, in words."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from appliance.checks import Finding
from storage.columns import Dtype
from storage.profile import ColumnProfile
from ui.components.histogram import histogram_html
from ui.components.markup import panel
from ui.components.table import Cell, Column, Row, Table
from ui.texts import _
from ui.words import DTYPES, NONE, number, share

_COLUMNS = (
    Column(name="name", label=_("Column")),
    Column(name="type", label=_("Type")),
    Column(name="missing", label=_("Missing"), numeric=True),
    Column(name="distinct", label=_("Distinct"), numeric=True),
    Column(name="range", label=_("Range, or most frequent")),
    Column(name="mean", label=_("Mean"), numeric=True),
    Column(name="shape", label=_("Distribution"), sortable=False),
    Column(name="warning", label=_("Worth a look"), prose=True),
)


def show_columns(profile: Sequence[ColumnProfile], findings: Sequence[Finding]) -> None:
    """Fill the tab."""
    by_name = sorted((one for one in findings if one.column), key=lambda one: one.column or "")
    warnings = {
        name: " ".join(_sentence(one.message) for one in group)
        for name, group in groupby(by_name, key=lambda one: one.column)
    }
    columns = _COLUMNS if warnings else _COLUMNS[:-1]
    with panel(tight=True):
        Table(columns, [_row(one, warnings.get(one.name, "")) for one in profile], search=_("Search columns"),
              name="columns")  # fmt: skip


def _row(one: ColumnProfile, warning: str) -> Row:
    missing = one.missing / one.rows if one.rows else 0.0
    counts: Sequence[float] = one.histogram.counts if one.histogram else [count for _, count in one.top]
    spread = _("{low} to {high}").format(low=_end(one.minimum), high=_end(one.maximum))
    if one.dtype in {Dtype.STRING, Dtype.BOOL}:
        spread = ", ".join(value for value, _ in one.top[:3])
    cells = {
        "name": Cell(text=one.name),
        "type": Cell(text=DTYPES[one.dtype]),
        "missing": Cell(text=share(missing) if one.missing else _("none"), sort=missing),
        "distinct": Cell(text=number(one.distinct), sort=one.distinct),
        "range": Cell(text=spread[:80] if one.distinct else NONE),
        "mean": Cell(text=number(one.mean), sort=one.mean if one.mean is not None else float("-inf")),
        "shape": Cell(markup=histogram_html(counts, label=f"{one.name}: {spread[:80]}") if counts else ""),
        "warning": Cell(text=warning),
    }
    return Row(id=one.name, cells=cells)


def _sentence(message: str) -> str:
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."


def _end(value: float | str | None) -> str:
    if isinstance(value, int | float):
        return number(value)
    # A moment as DuckDB writes it, in UTC; its midnight and its whole minutes are said shorter.
    return str(value)[:32].removesuffix("+00").removesuffix(":00").removesuffix(" 00:00")
