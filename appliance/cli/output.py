"""How a verb answers: tables and lines for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Annotated

import msgspec
from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
"""The flag of every verb that reads."""


def print_json(value: object) -> None:
    """One JSON document on standard output; dataclasses, structs, datetimes and enums as msgspec writes them."""
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(value), indent=2).decode() + "\n")


def print_table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """A table on standard output, as wide as it needs when nobody looks (a pipe)."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*("" if cell is None else str(cell) for cell in row))
    console = Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)
    console.print(table)


def say(text: str) -> None:
    """One line about what happens, apart from the answer: on standard error."""
    print(text, file=sys.stderr, flush=True)
