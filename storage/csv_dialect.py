"""Finds out how a CSV file is written, and says so to DuckDB: encoding, delimiter, quotes, header, types, nulls."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import duckdb

from storage.conform import require_new_name
from storage.csv_checks import EXACT, NULL_WORDS, is_checked
from storage.csv_forms import Earlier, agree_on_dates, find_readings, hold
from storage.csv_lines import (
    count_fields,
    doubled_delimiter,
    find_broken_line,
    find_line,
    likely_delimiter,
    mixed_ends,
)
from storage.csv_reading import Dialect
from storage.csv_values import (
    LONG_WHOLE,
    answers,
    having_values,
    refine,
    told_format,
    told_swapped,
    unclosed,
    with_blank,
)
from storage.duck import OUT_OF_MEMORY, allow_memory, sql_list, sql_name, sql_text
from storage.errors import SourceUnreadable
from storage.partitions import partition_columns, partition_links, partition_notes
from storage.readings import Reading
from storage.source_files import SourceFile, read_blocks, text_encoding, write_utf8

SAMPLE_ROWS = 20_480
"""Of each file, where the rest is checked while it is read."""
LARGE_BYTES = 4 << 20
"""A smaller file is looked at whole, which takes no time."""

WIDE = 1_000
"""A file of more columns is not tried with every kind of quotes and comments, which DuckDB takes gigabytes for."""
FIELD_BYTES = 300_000
"""Memory that DuckDB takes for each column of a CSV file: it holds some thousand rows as text, several times."""

GUESSED = {"cp1252": " If letters are wrong, it is in another one: convert it first, with iconv -f ENCODING -t UTF-8."}
"""What is said of an encoding that nearly every text in one byte a letter can be read as, be it Polish or Russian."""

EXCEL_LINE = re.compile(rb"(?:\xef\xbb\xbf)?sep=([^\w\s\x80-\xff]|\t)\r?\n", re.IGNORECASE)
"""A first line that tells Excel the delimiter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvScan:
    """SQL that reads CSV files, the paths that it reads, and what was decided, one sentence each.

    Attributes:
        sampled: The types are those of the files' first rows. While the rows are read, whatever does not fit them is
            an error, which says nothing about the files: they are to be scanned whole then.
        line_of: The line of a row, both from 1; None where there are several files.
        readings: How the columns were read that may be read otherwise as well.
    """

    sql: str
    paths: tuple[Path, ...]
    notes: tuple[str, ...]
    sampled: bool
    line_of: Callable[[int], int | None]
    readings: dict[str, Reading]


def csv_scan(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[SourceFile],
    links: Sequence[Path],
    *,
    earlier: Earlier,
    delimiter: str | None = None,
    sample: bool = False,
) -> CsvScan:
    """Find out how CSV files are written.

    Args:
        connection: Not confined yet.
        files: All with the same columns.
        links: A path without special characters for each; a copy in UTF-8 is written beside it where one is needed.
        earlier: The rows that these go with: text stays text although it reads as numbers, and what may be read in two
            ways is read as it was there.
        delimiter: Between columns; found out when left out.
        sample: Look at the first rows of large files, where those say enough; else at every value.

    Raises:
        SourceUnreadable: A file is no CSV, names a column twice, has other columns than the first, or can only be read
            otherwise than the first, or than the earlier rows.
    """
    notes: list[str] = []
    paths = [_in_utf8(file, link, notes) for file, link in zip(files, links, strict=True)]
    if delimiter is None and (delimiter := doubled_delimiter(files[0])) is not None:
        notes.append(f"Read with {delimiter!r} between the columns, which stands in every line as often.")
    fields, mark = count_fields(files[0], delimiter)
    is_wide = fields > WIDE
    if is_wide:
        allow_memory(connection, fields * FIELD_BYTES)
    look = _Look(connection, files, paths, mark if is_wide else delimiter, earlier, is_wide=is_wide)
    is_large = sum(file.path.stat().st_size for file in files) > LARGE_BYTES
    dialect = look.sample() if sample and is_large and not is_wide else None
    sampled = dialect is not None
    dialect = dialect or look.decide(None)
    text = earlier.texts
    # A time of day is the text that stands there, as it is where rows are appended or scored: 00:30, not 00:30:00.
    types = {name: "VARCHAR" if name in text or type_ == "TIME" else type_ for name, type_ in dialect.types.items()}
    times = {name: formats for name, formats in dialect.times.items() if name not in text}
    numbers = {name: written for name, written in dialect.numbers.items() if name not in text}
    given = partition_columns(files, types)
    paths, folders = partition_links(paths, given)
    dialect = replace(
        dialect,
        types=types,
        times=times,
        numbers=numbers,
        checked=sampled,
        folders=folders,
        given=tuple(each.name for each in given),
    )
    return CsvScan(
        sql=dialect.read(paths), paths=tuple(paths), notes=(*notes, *look.notes, *partition_notes(given)),
        sampled=sampled, line_of=partial(_line_of, files, dialect),
        readings=find_readings(connection, dialect, paths, sampled=sampled or is_wide),
    )  # fmt: skip


def _line_of(files: Sequence[SourceFile], dialect: Dialect, row: int) -> int | None:
    if len(files) > 1:
        return None
    return find_line(files[0], dialect.delimiter, row + dialect.header, skip=dialect.skip)


class _Look:
    """A look at the first rows of files, or at all; ``notes`` say what the last one decided."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, files: Sequence[SourceFile], paths: Sequence[Path],
        delimiter: str | None, earlier: Earlier, *, is_wide: bool,
    ) -> None:  # fmt: skip
        self._connection = connection
        self._files = files
        self._paths = paths
        self._delimiter = delimiter
        self._earlier = earlier
        self._is_wide = is_wide
        self._held: list[str] = []
        self.notes: list[str] = []

    def sample(self) -> Dialect | None:
        """What the first rows say, or None where they do not say enough: the whole files do, or say what is wrong."""
        try:
            dialect = self.decide(SAMPLE_ROWS)
            if not all(type_ in EXACT or is_checked(type_, formats={}) for type_ in dialect.types.values()):
                return None
            if dialect.blank and having_values(self._connection, dialect, self._paths, None, dialect.blank):
                return None  # a column whose first value comes late: its type is that of the later ones
            if dialect.swapped or self._held:
                return None  # a later day tells which is the month, and whether all can be read as it was before
            if not dialect.quote:
                if any(b'"' in next(read_blocks(file), b"") for file in self._files):
                    return None
                dialect = replace(dialect, quote='"', escape='"')  # the first quoted value may come late
        except (SourceUnreadable, duckdb.Error):
            return None
        return dialect

    def decide(self, rows: int | None) -> Dialect:
        """The dialect by the first rows of each file, or by all."""
        self.notes = []
        files, connection = self._files, self._connection
        plain = ", quote = '\"', escape = '\"', comment = ''" if self._is_wide else ""
        dialects = [_sniff(connection, file, path, self._delimiter, rows, plain) for file, path in self._each()]
        if rows is not None or len(files) > 1:
            dialects = [
                with_blank(connection, dialect, path, rows) for dialect, path in zip(dialects, self._paths, strict=True)
            ]
        dialect = _merge(files, agree_on_dates(connection, files, self._paths, dialects, rows))
        if len(dialect.types) == 1 and (mark := likely_delimiter(files[0])) is not None:
            if dialect.header:
                # Its header is no single name, so "1 2 3" is no time either, which DuckDB takes it for.
                dialect = replace(dialect, types=dict.fromkeys(dialect.types, "VARCHAR"))
            self.notes.append(
                f"Read as one column, though every line holds {mark!r} as often. If that separates columns, add it "
                f"again with --delimiter {mark!r}."
            )
        try:
            dialect = refine(connection, dialect, self._paths, rows, self.notes)
            dialect, self._held = hold(connection, dialect, self._paths, rows, self._earlier)
        except duckdb.Error as exc:
            told = find_broken_line(files[0], dialect.delimiter) or f"{files[0].path}: {_reason(exc)}"
            raise SourceUnreadable(told) from exc
        if not dialect.quote and rows is None and (torn := unclosed(connection, dialect, self._paths)):
            self.notes.append(
                f"Quotation marks were read as part of the text, since some are never closed: {', '.join(torn)[:200]}."
            )
        if dialect.skip:
            self.notes.append(f"Lines skipped above the header: {dialect.skip}.")
        if not dialect.header:
            self.notes.append("No header line was found: the columns are named column0, column1 and so on.")
        self.notes += told_swapped(dialect.swapped)
        self.notes += self._held
        for what, type_, form in (("Dates", "DATE", dialect.date_format), ("Times", "TIMESTAMP", dialect.time_format)):
            is_used = any(each == type_ and name not in dialect.times for name, each in dialect.types.items())
            if form and is_used and not form.startswith("%Y"):
                self.notes.append(f"{what} were read as {told_format(form)}.")
        return dialect

    def _each(self) -> Iterator[tuple[SourceFile, Path]]:
        return zip(self._files, self._paths, strict=True)


def _in_utf8(file: SourceFile, link: Path, notes: list[str]) -> Path:
    encoding = text_encoding(file)
    if encoding == "utf-8":
        return link
    notes.append(f"{file.path.name} is not UTF-8; it was read as {encoding}.{GUESSED.get(encoding, '')}")
    copy = link.with_name(f"{link.name.split('.')[0]}-utf8.csv")
    write_utf8(file, encoding, copy)
    return copy


def _sniff(
    connection: duckdb.DuckDBPyConnection, file: SourceFile, path: Path, delimiter: str | None, rows: int | None,
    plain: str,
) -> Dialect:  # fmt: skip
    told = EXCEL_LINE.match(next(read_blocks(file), b""))
    mark = delimiter or (told.group(1).decode() if told else None)
    options = ("" if mark is None else f", delim = {sql_text(mark)}") + (", skip = 1" if told else "") + plain
    try:
        dialect = _ask(connection, path, options, rows)
        if len(dialect.types) == 1 and delimiter is None and (why := find_broken_line(file, None)):
            raise SourceUnreadable(why)
        if any(type_ == "VARCHAR" for type_ in dialect.types.values()):
            with_nulls = _ask(connection, path, options, rows, nulls=NULL_WORDS)
            if _typed(with_nulls) > _typed(dialect):
                dialect = with_nulls
        if dialect.skip and not dialect.header and not told:
            # A title above a header is fine; rows left out to make the rest fit would be lost.
            raise SourceUnreadable(
                find_broken_line(file, delimiter)
                or f"{file.path}: its lines have different numbers of columns, the first {dialect.skip} do not fit the "
                "rest; give every line the header's columns, and quote values that hold the delimiter"
            )
        if dialect.header:
            _require_new_names(connection, file, path, dialect)
    except duckdb.Error as exc:
        why = (
            find_broken_line(file, delimiter) or mixed_ends(file)
            or f"{file.path} cannot be read as CSV: {_reason(exc).replace(str(path), str(file.path))}"
        )  # fmt: skip
        raise SourceUnreadable(why) from exc
    return dialect


def _ask(
    connection: duckdb.DuckDBPyConnection, path: Path, options: str, rows: int | None, *,
    nulls: tuple[str, ...] = ("",),
) -> Dialect:  # fmt: skip
    told = options if nulls == ("",) else f"{options}, nullstr = {sql_list(nulls)}"
    found = connection.execute(
        "SELECT Delimiter, Quote, Escape, Comment, SkipRows, HasHeader, DateFormat, TimestampFormat, "
        "list_transform(Columns, lambda c: [c.name, c.type]) "
        f"FROM sniff_csv({sql_text(path)}, sample_size = {-1 if rows is None else rows}{told})"
    ).fetchone()
    if found is None:
        raise SourceUnreadable(f"{path} cannot be read as CSV")
    quote, escape, comment = (("" if mark in {None, "(empty)", "\0"} else str(mark)) for mark in found[1:4])
    dialect = Dialect(
        delimiter=found[0], quote=quote, escape=escape or quote, comment=comment, skip=found[4], header=found[5],
        date_format=found[6], time_format=found[7], types=dict(found[8]), nulls=nulls,
    )  # fmt: skip
    return _keep_words(connection, path, dialect, rows)


def _keep_words(connection: duckdb.DuckDBPyConnection, path: Path, dialect: Dialect, rows: int | None) -> Dialect:
    """Booleans are columns of true and false alone.

    DuckDB takes yes, no, y, n, t and f as well; those are words, and a class that is called "Yes" has to stay so.
    """
    found = [name for name, type_ in dialect.types.items() if type_ == "BOOLEAN"]
    if not found:
        return dialect
    wanted = [f"bool_and(lower({sql_name(name)}) IN ('true', 'false', ''))" for name in found]
    plain = answers(connection, wanted, dialect.first_rows([path], rows))
    words = [name for name, is_plain in zip(found, plain, strict=True) if is_plain is False]
    return replace(dialect, types={**dialect.types, **dict.fromkeys(words, "VARCHAR")})


def _typed(dialect: Dialect) -> int:
    return sum(type_ != "VARCHAR" for type_ in dialect.types.values())


def _require_new_names(connection: duckdb.DuckDBPyConnection, file: SourceFile, path: Path, dialect: Dialect) -> None:
    # DuckDB renames a second "a" to "a_1"; the header line itself tells.
    header = connection.execute(replace(dialect, header=False).read([path], as_text=True) + " LIMIT 1").fetchone() or ()
    seen: dict[str, str] = {}
    try:
        for name in header:
            if name and name.strip():
                require_new_name(seen, name.strip())
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{file.path}: {exc}") from exc


def _merge(files: Sequence[SourceFile], dialects: Sequence[Dialect]) -> Dialect:
    """One dialect for all files: they must agree but for types, where the wider one is taken."""
    first = dialects[0]
    types, blank = dict(first.types), first.blank
    for file, dialect in zip(files[1:], dialects[1:], strict=True):
        if list(dialect.types) != list(types):
            raise SourceUnreadable(
                f"{file.path} has other columns than {files[0].path}: {', '.join(dialect.types)[:200]}; "
                "add the files one by one, or pick columns with a query"
            )
        # A column without values would read as text; its type is that of the other files.
        types = {
            name: type_ if name in dialect.blank else dialect.types[name] if name in blank
            else _wider(type_, dialect.types[name])
            for name, type_ in types.items()
        }  # fmt: skip
        blank &= dialect.blank
    return replace(
        first, types=types, blank=blank, nulls=max((dialect.nulls for dialect in dialects), key=len),
        date_format=next((dialect.date_format for dialect in dialects if dialect.date_format), None),
        time_format=next((dialect.time_format for dialect in dialects if dialect.time_format), None),
        quote=next((dialect.quote for dialect in dialects if dialect.quote), ""),
        escape=next((dialect.escape for dialect in dialects if dialect.quote), ""),
    )  # fmt: skip


def _wider(one: str, other: str) -> str:
    if one == other:
        return one
    whole = {"BIGINT", *LONG_WHOLE}
    if {one, other} <= whole:
        return "HUGEINT"
    return "DOUBLE" if {one, other} - whole == {"DOUBLE"} else "VARCHAR"


def _reason(exc: Exception) -> str:
    if isinstance(exc, duckdb.OutOfMemoryException):
        return OUT_OF_MEMORY
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Possible ", "The search space", "LINE ", "^", "*"))]
    return "; ".join(told[:3])[:300]
