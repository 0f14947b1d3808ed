"""The first rows of a dataset as they are."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from storage.columns import Dtype
from storage.datasets import Snapshot
from ui.components.markup import panel
from ui.components.table import raw_table
from ui.page import View
from ui.texts import ngettext
from ui.words import DTYPES, number

_NUMERIC = {Dtype.INT, Dtype.FLOAT}
_PREVIEW = 100


async def show_rows(view: View, shown: Snapshot) -> None:
    """Fill the tab."""
    frame = await view.ask(view.appliance.datasets.preview, shown.dataset, shown.version, _PREVIEW)
    kinds = {column.name: column.dtype for column in shown.columns}
    with panel(
        ngettext("The first {shown} of {rows} row", "The first {shown} of {rows} rows", shown.rows).format(
            shown=number(frame.height), rows=number(shown.rows)
        ),
        tight=True,
    ):
        raw_table(
            [(name, _heading(kinds[name])) for name in frame.columns], cells_of(frame),
            numeric=[kinds[name] in _NUMERIC for name in frame.columns],
            name=f"{shown.dataset}-{shown.version}-first-rows",
        )  # fmt: skip


def _heading(kind: Dtype) -> str:
    return f"{DTYPES[kind]}, UTC" if kind is Dtype.DATETIME else DTYPES[kind]


def cells_of(frame: pl.DataFrame) -> list[list[str | None]]:
    """The values as they are shown; None where one is missing."""
    return [[_plain(value) for value in row] for row in frame.iter_rows()]


def _plain(value: object) -> str | None:
    if value is None:
        return None
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}".removesuffix(":00")  # a dataset's times are UTC, as its heading says
    return f"{value:.10g}" if isinstance(value, float) else str(value)[:200]
