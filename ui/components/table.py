"""Tables: dense, sortable, searchable where they are long, and to be had as CSV; a cell is text, a link or a badge."""

from __future__ import annotations

import csv
import io
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

from nicegui import ui as ng
from nicegui.element import Element

from ui.components.markup import box, icon_html, text_html, with_attributes
from ui.components.status import Status
from ui.texts import _
from ui.words import NONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell.

    Attributes:
        text: What is shown.
        sort: What the column is sorted by; None: the text.
        note: A second, quieter line.
        href: Makes the text a link.
        status: Shown instead of the text.
        markup: Shown instead of the text; made by components alone, with everything in it escaped.
        action: Makes a button of it; the name is handed to the table's ``on_action`` with the row's id.
    """

    text: str = ""
    sort: float | str | None = None
    note: str = ""
    href: str = ""
    status: Status | None = None
    markup: str = ""
    action: str = ""
    danger: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column; figures stand right, sentences may wrap; a filed one is in the CSV file alone."""

    name: str
    label: str
    numeric: bool = False
    prose: bool = False
    sortable: bool = True
    filed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One row; ``id`` is unique in its table."""

    id: str
    cells: dict[str, Cell] = field(default_factory=dict)


_BODY = """
<q-td :props="props" :class="props.col.kind" :data-cell="props.row.id + ' ' + props.col.name">
  <a v-if="props.row[props.col.name + '__'].href" :href="props.row[props.col.name + '__'].href" v-html="props.row[props.col.name + '__'].html"></a>
  <button v-else-if="props.row[props.col.name + '__'].action" type="button" class="act" :class="props.row[props.col.name + '__'].danger ? 'danger' : ''"
    @click.stop="() => $parent.$emit('act', [props.row.id, props.row[props.col.name + '__'].action])" v-html="props.row[props.col.name + '__'].html"></button>
  <span v-else v-html="props.row[props.col.name + '__'].html"></span>
  <span v-if="props.row[props.col.name + '__'].note" class="cell-note" v-html="props.row[props.col.name + '__'].note"></span>
</q-td>
"""  # noqa: E501

_SEARCHED_FROM = 9
"""Rows; fewer are seen at once."""


class Table:
    """A table on the page; drawn again under the same name it takes the new rows and keeps order, page and search.

    Args:
        columns: From left to right.
        rows: In the order in which they stand until somebody sorts them.
        name: Of the CSV file that the table can be had as.
        search: What the field above a long table says; by default, that it searches.
        per_page: Rows a page; 0: all on one.
        on_action: Called with the row's id and the action's name when a button of a cell is pressed.
    """

    def __init__(
        self, columns: Sequence[Column], rows: Sequence[Row], *, name: str, search: str = "", per_page: int = 0,
        on_action: Callable[[str, str], Awaitable[None]] | None = None,
    ) -> None:  # fmt: skip
        search = search or _("Search")
        self._columns = tuple(columns)
        self._rows = tuple(rows)
        described = [
            {"name": c.name, "label": c.label, "field": c.name, "sortable": c.sortable and bool(c.label),
             "align": "right" if c.numeric else "left", "kind": "prose" if c.prose else ""}
            for c in columns if not c.filed
        ]  # fmt: skip
        field_input = None
        if rows:
            with box("table-tools").mark(name):
                field_input = _search_field(search, long=len(rows) >= _SEARCHED_FROM)
                _csv_button(name, lambda: as_csv(self._columns, self._rows))
        self._table = ng.table(columns=described, rows=self._plain(rows), row_key="id", pagination=per_page or None)
        self._table.mark(name).classes("table").props("flat dense binary-state-sort")
        if on_action:
            self._table.classes("acts")  # on a phone what a button is about stands beside it, not aside
        self._table.add_slot("body-cell", _BODY)
        if field_input:
            field_input.bind_value_to(self._table, "filter")
        if on_action:

            async def act(event: Any) -> None:
                row_id, action = event.args
                await on_action(str(row_id), str(action))

            self._table.on("act", act)

    def fit(self) -> None:
        """Let headings and texts wrap, so that many columns fit beside the navigation."""
        self._table.classes("snug")

    def _plain(self, rows: Sequence[Row]) -> list[dict[str, Any]]:
        return [{"id": row.id} | self._cells(row) for row in rows]

    def _cells(self, row: Row) -> dict[str, Any]:
        plain: dict[str, Any] = {}
        for column in (one for one in self._columns if not one.filed):
            cell = row.cells.get(column.name, Cell())
            label = cell.status.label if cell.status else cell.text
            plain[column.name] = label if cell.sort is None else cell.sort
            shown = cell.status.html() if cell.status else cell.markup or text_html(cell.text)
            plain[column.name + "__"] = {
                "html": shown, "note": text_html(cell.note), "href": cell.href, "action": cell.action,
                "danger": cell.danger,
            }  # fmt: skip
        return plain


def _search_field(label: str, *, long: bool) -> ng.input:
    """Narrows a long table; a short one has it once there is something in it, since a long one may become short."""

    def appear(typed: object) -> None:
        if typed:
            field_input.set_visibility(True)

    field_input = ng.input(placeholder=label).props("outlined dense clearable debounce=200 type=search")
    field_input.set_visibility(long)
    field_input.on_value_change(lambda event: appear(event.value))
    return with_attributes(field_input, aria_label=label).classes("table-search")


def _csv_button(name: str, content: Callable[[], str]) -> None:
    button = ng.html(f"{icon_html('download')}CSV", sanitize=False, tag="button").classes("act csv")
    with_attributes(button, type="button", title=_("Save this table as {name}.csv").format(name=name))
    button.on("click", lambda: ng.download.content(content(), f"{name}.csv", "text/csv"))


def raw_csv(names: Sequence[str], rows: Sequence[Sequence[str | None]], numeric: Sequence[bool]) -> str:
    """Plain values as CSV: a missing one is empty, a figure bare, a text that begins like a formula quoted."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([_defused(name) for name in names])
    for row in rows:
        writer.writerow([
            "" if value is None else value if right else _defused(value)
            for value, right in zip(row, numeric, strict=True)
        ])  # fmt: skip
    return out.getvalue()


def as_csv(columns: Sequence[Column], rows: Sequence[Row]) -> str:
    """The table as CSV: figures bare, so that a spreadsheet reckons with them; columns of buttons are left out."""
    named = [column for column in columns if column.label]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow([column.label for column in named])
    for row in rows:
        cells = [row.cells.get(column.name, Cell()) for column in named]
        writer.writerow([_exported(cell, column) for cell, column in zip(cells, named, strict=True)])
    return out.getvalue()


def _exported(cell: Cell, column: Column) -> str | float:
    if column.numeric and isinstance(cell.sort, int | float):
        return cell.sort if cell.text != NONE else ""
    return _defused(cell.status.label if cell.status else cell.text)


def _defused(plain: str) -> str:
    """A spreadsheet takes a text that begins like this for a formula, and formulas can call out."""
    return f"'{plain}" if plain.startswith(("=", "+", "-", "@", "\t", "\r")) else plain


def raw_table(
    headings: Sequence[tuple[str, str]], rows: Sequence[Sequence[str | None]], *, numeric: Sequence[bool], name: str
) -> Element:
    """A large table of plain values as one element: a heading is ``(name, type)``, a None cell is shown as missing.

    ``name`` is that of the CSV file that it can be had as, which has the rows that are shown.
    """
    if rows:
        with box("table-tools"):
            _csv_button(name, lambda: raw_csv([heading for heading, _ in headings], rows, numeric))
    head = "".join(
        f'<th class="{"num" if right else ""}" scope="col">{escape(name)}<span class="type">{escape(kind)}</span></th>'
        for (name, kind), right in zip(headings, numeric, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(_raw_cell(value, right) for value, right in zip(row, numeric, strict=True)) + "</tr>"
        for row in rows
    )
    table = ng.html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", sanitize=False).classes(
        "grid-html"
    )
    return with_attributes(table.props("tabindex=0 role=region"), aria_label=_("rows"))


def _raw_cell(value: str | None, right: bool) -> str:
    if value is None:
        return '<td class="null">' + escape(_("missing")) + "</td>"
    return f'<td class="num">{escape(value)}</td>' if right else f"<td>{escape(value)}</td>"
