"""A CSV file's lines, looked at without DuckDB: which one is broken, and what may separate the columns."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from storage.source_files import SourceFile, read_blocks, text_encoding

DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITERS = frozenset("\"'.-_+()[]{}$%€£@")
"""Marks that stand inside values."""
GLIMPSE, MIN_GLIMPSE = 50, 3
"""Lines that are looked at, and that are needed, to say that a mark separates columns."""
HEAD = 10
"""Lines among which the header stands."""
DOUBLED = ("|", ":", "~", "^", "#")
"""Marks that programs write twice between columns; of others two mean a column without values."""
_QUOTED = re.compile('"[^"]*"')
APART = "\x1f"
"""What stands for a delimiter of several characters, which Python's reader does not take."""


def find_broken_line(file: SourceFile, delimiter: str | None) -> str | None:
    """The first line that has not as many fields as the header, as a sentence; None when all have."""
    lines = _lines(file)
    header = next((line for line in lines if line.strip()), "")
    delimiter = delimiter or max(DELIMITERS, key=header.count)
    head, mark = _with_one_mark([header], delimiter)
    rest, _ = _with_one_mark(lines, delimiter)
    reader = csv.reader(rest, delimiter=mark)
    try:
        wanted = len(next(csv.reader(head, delimiter=mark), []))
        if wanted < 2:
            return None
        for row in reader:
            if row and len(row) != wanted:
                return (
                    f"{file.path} is no regular CSV: the header has {wanted} fields, but line {reader.line_num + 1} "
                    f"has {len(row)}; mend that line"
                )
    except csv.Error as exc:
        return f"{file.path} is no regular CSV: line {reader.line_num + 1}: {exc}"
    return None


def find_line(file: SourceFile, delimiter: str, record: int, *, skip: int) -> int | None:
    """The line in which a record begins, both from 1; None where the lines cannot be taken apart so far.

    Args:
        file: Of text.
        delimiter: Between its columns.
        record: The header counts as one, empty lines do not.
        skip: Lines above the first record.
    """
    lines, mark = _with_one_mark(itertools.islice(_lines(file), skip, None), delimiter)
    reader = csv.reader(lines, delimiter=mark)
    ended = found = 0
    try:
        for row in reader:
            found += bool(row)
            if found == record:
                return skip + ended + 1
            ended = reader.line_num
    except csv.Error:  # a field beyond the module's limit
        return None
    return None


def count_fields(file: SourceFile, delimiter: str | None) -> tuple[int, str]:
    """The most fields that one of the first lines has, and the mark between them; 0 where no line can be taken apart.

    Args:
        file: Of text.
        delimiter: One to four characters; None: the one of ``DELIMITERS`` that gives the most fields.
    """
    head = [line for line in itertools.islice(_lines(file), HEAD) if line.strip()]
    found = [(_most_fields(head, mark), mark) for mark in ((delimiter,) if delimiter else DELIMITERS)]
    return max(found, key=lambda each: each[0])


def _most_fields(lines: list[str], mark: str) -> int:
    try:
        plain, mark = _with_one_mark(lines, mark)
        return max((len(row) for row in csv.reader(plain, delimiter=mark)), default=0)
    except csv.Error:  # a field beyond the module's limit
        return 0


def _with_one_mark(lines: Iterable[str], delimiter: str) -> tuple[Iterator[str], str]:
    """The lines with a delimiter of one character, and that."""
    if len(delimiter) == 1:
        return iter(lines), delimiter
    return (line.replace(delimiter, APART) for line in lines), APART


def doubled_delimiter(file: SourceFile) -> str | None:
    """A mark that stands in the first lines in pairs alone, equally many in each, twice: ``||`` separates columns."""
    lines = [_QUOTED.sub("", line) for line in itertools.islice(_lines(file), GLIMPSE) if line.strip()]
    if len(lines) < MIN_GLIMPSE:
        return None
    for pair in (mark * 2 for mark in DOUBLED):
        is_alone = not any(pair[0] in line.replace(pair, "") for line in lines)
        if is_alone and _stands_regularly(pair, lines):
            # What a usual mark separates as regularly is separated by that: 1,std::vector
            usual = any(_stands_regularly(mark, lines) for mark in DELIMITERS if mark != pair[0])
            return None if usual else pair
    return None


def _stands_regularly(mark: str, lines: Sequence[str]) -> bool:
    return mark in lines[0] and len({line.count(mark) for line in lines}) == 1


def mixed_ends(file: SourceFile) -> str | None:
    """A sentence where some lines end in CR LF and some in LF alone; some programs write that within quotes."""
    head = b"".join(itertools.islice(read_blocks(file), 1)).decode(text_encoding(file), errors="replace")
    pairs = head.count("\r\n")
    if not pairs or head.count("\n") == pairs:
        return None
    return (
        f"{file.path}: some of its lines end in CR LF (Windows), others in LF alone; save it with one kind of line end"
    )


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
