"""The columns of a dataset in figures, each with what is suspicious about it, in words."""

from __future__ import annotations

from collections.abc import Sequence

from appliance.findings import Finding
from storage.columns import Dtype
from storage.profile import ColumnProfile
from ui.clicks import in_clicks
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
    warnings = warnings_of(findings)
    columns = _COLUMNS if warnings else _COLUMNS[:-1]
    with panel(tight=True):
        Table(columns, [_row(one, warnings.get(one.name, "")) for one in profile], search=_("Search columns"),
              name="columns")  # fmt: skip


def _row(one: ColumnProfile, warning: str) -> Row:
    missing = one.missing / one.rows if one.rows else 0.0
    counts, spread = shape_of(one), spread_of(one)
    cells = {
        "name": Cell(text=one.name),
        "type": Cell(text=DTYPES[one.dtype]),
        "missing": Cell(text=share(missing) if one.missing else _("none"), sort=missing),
        "distinct": Cell(text=number(one.distinct), sort=one.distinct),
        "range": Cell(text=spread if one.distinct else NONE),
        "mean": Cell(text=number(one.mean), sort=one.mean if one.mean is not None else float("-inf")),
        "shape": Cell(markup=histogram_html(counts, label=f"{one.name}: {spread}") if counts else ""),
        "warning": Cell(text=warning),
    }
    return Row(id=one.name, cells=cells)


def warnings_of(findings: Sequence[Finding]) -> dict[str, str]:
    """What is said of each column; of what is told of several, that it stands above."""
    said: dict[str, list[str]] = {}
    for one in findings:
        if one.column is not None:
            said.setdefault(one.column, []).append(sentence(one.message))
        for name in one.columns:
            count = number(len(one.columns))
            said.setdefault(name, []).append(_("See the note above on {count} columns.").format(count=count))
    return {name: " ".join(sentences) for name, sentences in said.items()}


def shape_of(one: ColumnProfile) -> Sequence[float]:
    """Counts to draw: of the histogram's bins, or of the most frequent values where it has none."""
    return one.histogram.counts if one.histogram else [count for _, count in one.top]


def spread_of(one: ColumnProfile) -> str:
    """From where to where the values go, or the most frequent of them; at most 80 letters."""
    if one.dtype in {Dtype.STRING, Dtype.BOOL}:
        return ", ".join(value for value, _ in one.top[:3])[:80]
    return _("{low} to {high}").format(low=_end(one.minimum), high=_end(one.maximum))[:80]


def sentence(message: str) -> str:
    """A finding's message as a sentence of its own."""
    message = in_clicks(message)
    return f"{message[:1].upper()}{message[1:].rstrip('.')}."


def _end(value: float | str | None) -> str:
    if isinstance(value, int | float):
        return number(value)
    # A moment as DuckDB writes it, in UTC; its midnight and its whole minutes are said shorter.
    return str(value)[:32].removesuffix("+00").removesuffix(":00").removesuffix(" 00:00")
