"""A CSV file's lines, looked at without DuckDB: which one is broken, and what may separate the columns."""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator

from storage.source_files import SourceFile, read_blocks, text_encoding

DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITERS = frozenset("\"'.-_+()[]{}$%€£@")
"""Marks that stand inside values."""
GLIMPSE, MIN_GLIMPSE = 50, 3
"""Lines that are looked at, and that are needed, to say that a mark separates columns."""


def find_broken_line(file: SourceFile, delimiter: str | None) -> str | None:
    """The first line that has not as many fields as the header, as a sentence; None when all have."""
    lines = _lines(file)
    header = next((line for line in lines if line.strip()), "")
    delimiter = delimiter or max(DELIMITERS, key=header.count)
    wanted = len(next(csv.reader([header], delimiter=delimiter), []))
    if wanted < 2:
        return None
    reader = csv.reader(lines, delimiter=delimiter)
    try:
        for row in reader:
            if row and len(row) != wanted:
                return (
                    f"{file.path} is no regular CSV: the header has {wanted} fields, but line {reader.line_num + 1} "
                    f"has {len(row)}; mend that line"
                )
    except csv.Error as exc:
        return f"{file.path} is no regular CSV: line {reader.line_num + 1}: {exc}"
    return None


def likely_delimiter(file: SourceFile) -> str | None:
    """A mark that stands in each of the first lines equally often, and more than once where it is a blank."""
    lines = [line.strip("\n") for line in itertools.islice(_lines(file), GLIMPSE) if line.strip()]
    if len(lines) < MIN_GLIMPSE:
        return None
    marks = {mark for mark in lines[0] if not mark.isalnum() and mark not in NO_DELIMITERS}
    same = [mark for mark in sorted(marks) if len({line.count(mark) for line in lines}) == 1]
    return next((mark for mark in same if mark != " " or lines[0].count(mark) > 1), None)


def _lines(file: SourceFile) -> Iterator[str]:
    rest = ""
    encoding = text_encoding(file)
    decoder = io.IncrementalNewlineDecoder(None, translate=True)
    for block in read_blocks(file):
        *lines, rest = (rest + decoder.decode(block.decode(encoding, errors="replace"))).split("\n")
        yield from (line + "\n" for line in lines)
    if rest:
        yield rest
