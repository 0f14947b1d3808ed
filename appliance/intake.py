"""What shall become rows of a dataset, and how it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from storage.columns import Dtype
from storage.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A source, how to read it, and what it does to the rows that are there.

    Attributes:
        source: A path, a glob, a directory, a database file or server (with a query), or an http(s) address.
        query: SQL that picks the rows; a file is the table ``source`` in it.
        prepare: DuckDB SQL over the rows that were picked, as the table ``source``; a refresh does it again.
        sheet: The sheet of a workbook; the first with rows when left out.
        delimiter: Between the columns of a CSV file; found out when left out.
        append: Add to the newest snapshot's rows, else replace them.
        evolve: Let an append add columns and widen int64 to float64, date to datetime.
        target: A column that must be there and have at least two values; an append needs one.
        types: How columns shall be read, by name; kept among the dataset's rules, for what comes later too.
        once: A name under which it may be taken in only once.
    """

    source: str
    query: str | None = None
    prepare: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    append: bool = False
    evolve: bool = False
    target: str | None = None
    types: Mapping[str, Dtype] = field(default_factory=dict)
    once: str | None = None


def is_upload(layout: Layout, source: str) -> bool:
    """Whether a source, as the record tells it, was sent here: it lay where nobody finds it any more."""
    return Path(source).is_relative_to(layout.tmp.absolute())
