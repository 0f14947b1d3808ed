"""A dropped file before it is saved: a row a column, what it would be read as, and a choice to read it otherwise."""

from __future__ import annotations

from collections.abc import Callable

from appliance.orders import Glance
from storage.columns import ColumnInfo, Dtype
from ui.components.form import native_choice
from ui.components.markup import box, text, with_attributes
from ui.pages.dataset_rows import cells_of
from ui.texts import _
from ui.words import DTYPES, NONE, number

_EXAMPLES = 4
_MOST_COLUMNS = 200
"""A choice for each of ten thousand columns would keep the browser busy for minutes."""
_KEPT = "found"


def show_preview(found: Glance, chosen: dict[str, Dtype]) -> None:
    """Draw it; what is chosen goes into ``chosen``, by column."""
    for note in found.notes:
        text(note, "muted small")
    text(
        _(
            "{columns} columns; the values are of the first {rows} rows. A type "
            "that you choose is kept for later files too; a row whose value is none of it is set aside, with the "
            "reason."
        ).format(columns=number(len(found.columns)), rows=number(found.rows.height)),
        "muted small",
    )
    columns, rows = found.columns[:_MOST_COLUMNS], found.rows[:, :_MOST_COLUMNS]
    if len(columns) < len(found.columns):
        text(
            _("The first {count} stand here; 'appliance data add --type COLUMN=TYPE' says how the others "
            "are read.").format(count=number(len(columns))), "muted small",
        )  # fmt: skip
    examples = list(zip(*cells_of(rows), strict=True)) or [()] * len(columns)
    area = box("preview").props("tabindex=0 role=region")
    with with_attributes(area, aria_label=_("Columns of the file")), box("", "table"):
        with box("", "thead"), box("", "tr"):
            for heading in (_("Column and some of its values"), _("Read as")):
                text(heading, tag="th").props("scope=col")
        with box("", "tbody"):
            for column, values in zip(columns, examples, strict=True):
                _row(column, values, chosen)


def _row(column: ColumnInfo, values: tuple[str | None, ...], chosen: dict[str, Dtype]) -> None:
    with box("", "tr"):
        some = list(dict.fromkeys(value for value in values if value is not None))[:_EXAMPLES]
        with box("", "th").props("scope=row"):
            text(column.name, "wrap-any")
            text(", ".join(one[:40] for one in some) or NONE, "muted small wrap-any")
        with box("", "td"):
            options = {_KEPT: _("{type} (found)").format(type=DTYPES[column.dtype])}
            options |= {dtype.value: DTYPES[dtype] for dtype in Dtype if dtype is not column.dtype}
            native_choice(_("Read {name} as").format(name=column.name), options, _chooser(column.name, chosen))


def _chooser(name: str, chosen: dict[str, Dtype]) -> Callable[[str], None]:
    def choose(value: str) -> None:
        if value == _KEPT:
            chosen.pop(name, None)
        else:
            chosen[name] = Dtype(value)

    return choose
