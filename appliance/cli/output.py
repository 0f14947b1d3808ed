"""How a verb answers: tables and lines for people, JSON for programs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec
from cyclopts import Parameter

Json = Annotated[bool, Parameter(name="--json", negative="", help="Print JSON.")]
"""The flag of every verb that reads."""
Flag = Annotated[bool, Parameter(negative="")]
"""A flag that is off unless given."""


def print_json(value: object) -> None:
    """One JSON document on standard output; dataclasses, structs, datetimes and enums as msgspec writes them."""
    encoded = msgspec.json.encode(value, enc_hook=_encode)
    sys.stdout.write(msgspec.json.format(encoded, indent=2).decode() + "\n")


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
    with console.capture() as drawn:  # rich ends the process with 1 where a reader closes early, which is no error
        console.print(table)
    sys.stdout.write(drawn.get())


def say(text: str) -> None:
    """One line about what happens, apart from the answer: on standard error."""
    print(text, file=sys.stderr, flush=True)


def show_time(at: datetime) -> str:
    """To the second, UTC."""
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"


def or_dash(number: float | None) -> str:
    """Four significant digits, whole from a thousand on; a dash for none."""
    if number is None:
        return "-"
    return f"{number:.0f}" if 1e3 <= abs(number) < 1e15 else f"{number:.4g}"


def show_value(value: float | str | None) -> float | str:
    """A column's least or greatest value; whole numbers without a fraction, a dash for none."""
    if value is None:
        return "-"
    return int(value) if isinstance(value, float) and value.is_integer() else value


def show_metrics(metrics: Mapping[str, float]) -> str:
    """``rmse 41.2, r2 0.91``."""
    return ", ".join(f"{name} {or_dash(value)}" for name, value in metrics.items())


def _encode(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise NotImplementedError(f"{type(value).__name__} has no JSON form")
