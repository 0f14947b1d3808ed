"""A dropped file before it is saved: its columns in figures, what each is read as, which one to predict; its rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import polars as pl

from appliance.orders import FirstLook
from storage.columns import ColumnInfo, Dtype
from storage.profile import ColumnProfile
from ui.components.form import native_choice, native_radio
from ui.components.histogram import histogram_html
from ui.components.markup import box, markup, panel, text, with_attributes
from ui.components.status import notice
from ui.components.table import raw_table
from ui.pages.dataset_columns import sentence, shape_of, spread_of, warnings_of
from ui.pages.dataset_rows import cells_of
from ui.texts import _, ngettext
from ui.words import DTYPES, NONE, number, share

_EXAMPLES = 4
_MOST_COLUMNS = 200
"""A choice for each of ten thousand columns would keep the browser busy for minutes."""
_KEPT = "found"
_NUMERIC = {Dtype.INT, Dtype.FLOAT}


@dataclass(slots=True)
class Choices:
    """What was chosen: a workbook's sheet, types of columns that are read otherwise than found, what to predict."""

    sheet: str | None = None
    types: dict[str, Dtype] = field(default_factory=dict)
    target: str = ""


def show_preview(found: FirstLook, choices: Choices) -> None:
    """Draw it; what is chosen goes into ``choices``."""
    for note in found.glance.notes:
        text(note, "muted small")
    for name in found.glance.as_text:
        choices.types.setdefault(name, Dtype.STRING)
    text(_scope(found), "muted small")
    shown = found.glance.columns
    if len(shown) > _MOST_COLUMNS:
        shown = (*shown[: _MOST_COLUMNS - 1], shown[-1])  # the last is where most tables have what is to be predicted
        text(
            _("The first {count} and the last stand here; 'appliance data add --type COLUMN=TYPE' says how the others "
            "are read. To predict one of those, save the file and create a model of the dataset.")
            .format(count=number(len(shown) - 1)), "muted small",
        )  # fmt: skip
    for one in found.findings:
        if one.column is None:
            notice(sentence(one.message), tone="warn")
    _columns(found, shown, choices)
    _rows(found, shown)


def _scope(found: FirstLook) -> str:
    count, rows = len(found.glance.columns), number(found.looked_at)
    columns = ngettext("{count} column", "{count} columns", count).format(count=number(count))
    said = (
        _("{columns}, {rows}.").format(
            columns=columns, rows=ngettext("{count} row", "{count} rows", found.looked_at).format(count=rows)
        )
        if found.is_whole
        else _("{columns}; the figures are of the first {rows} rows, the file has more.").format(
            columns=columns, rows=rows
        )
    )
    kept = _(
        "A type that you choose is kept for later files too; a row whose value is none of it is set aside, with the "
        "reason."
    )
    return f"{said} {kept}"


def _columns(found: FirstLook, shown: tuple[ColumnInfo, ...], choices: Choices) -> None:
    figures = {one.name: one for one in found.profile}
    warnings = warnings_of(found.findings)
    examples = list(zip(*cells_of(_cut(found, shown)), strict=True)) or [()] * len(shown)
    area = box("preview").props("tabindex=0 role=region")
    headings = (
        _("Predict"), _("Column and some of its values"), _("Read as"), _("Missing"), _("Distinct"), _("Distribution"),
        _("Worth a look"),
    )  # fmt: skip
    with with_attributes(area, aria_label=_("Columns of the file")), box("", "table"):
        with box("", "thead"), box("", "tr"):
            for heading in headings if warnings else headings[:-1]:
                text(heading, tag="th").props("scope=col")
        with box("", "tbody"):
            for column, values in zip(shown, examples, strict=True):
                with box("", "tr"):
                    _choice(column, values, choices, must_choose=column.name in found.glance.as_text)
                    _figures(figures[column.name])
                    if warnings:
                        text(warnings.get(column.name, ""), "small prose", tag="td")


def _choice(column: ColumnInfo, values: tuple[str | None, ...], choices: Choices, *, must_choose: bool) -> None:
    some = list(dict.fromkeys(value for value in values if value is not None))[:_EXAMPLES]

    def predict() -> None:
        choices.target = column.name

    with box("", "td"):
        native_radio(_("Predict {name}").format(name=column.name), "target", predict)
    with box("", "th").props("scope=row"):
        text(column.name, "wrap-any")
        text(", ".join(one[:40] for one in some) or NONE, "muted small wrap-any")
    with box("", "td"):
        first = column.dtype.value if must_choose else _KEPT
        options = {first: _("{type} (found)").format(type=DTYPES[column.dtype])}
        options |= {dtype.value: DTYPES[dtype] for dtype in Dtype if dtype is not column.dtype}
        native_choice(_("Read {name} as").format(name=column.name), options, _chooser(column.name, choices.types))


def _figures(one: ColumnProfile) -> None:
    missing = one.missing / one.rows if one.rows else 0.0
    text(share(missing) if one.missing else _("none"), "num", tag="td")
    text(number(one.distinct), "num", tag="td")
    counts, spread = shape_of(one), spread_of(one)
    with box("", "td"):
        if counts:
            markup(histogram_html(counts, label=f"{one.name}: {spread}"))


def _rows(found: FirstLook, shown: tuple[ColumnInfo, ...]) -> None:
    rows = _cut(found, shown)
    if not rows.height:
        return
    with panel(_("First rows"), _("{count} of them, as they would be read").format(count=number(rows.height)),
               tight=True) as place:  # fmt: skip
        place.classes("first-rows")
        raw_table(
            [(column.name, DTYPES[column.dtype]) for column in shown], cells_of(rows),
            numeric=[column.dtype in _NUMERIC for column in shown], name="first-rows",
        )  # fmt: skip


def _cut(found: FirstLook, shown: tuple[ColumnInfo, ...]) -> pl.DataFrame:
    # Not ``select``: it takes a name such as * or ^a.*$ for a pattern.
    return found.glance.rows.head(100)[[column.name for column in shown]]


def _chooser(name: str, chosen: dict[str, Dtype]) -> Callable[[str], None]:
    def choose(value: str) -> None:
        if value == _KEPT:
            chosen.pop(name, None)
        else:
            chosen[name] = Dtype(value)

    return choose
