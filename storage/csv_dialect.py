"""Finds out how a CSV file is written, and says so to DuckDB: encoding, delimiter, quotes, header, types, nulls."""

from __future__ import annotations

import csv
import io
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from storage.columns import ColumnInfo, Dtype
from storage.conform import require_new_name
from storage.duck import OUT_OF_MEMORY, sql_list, sql_name, sql_text
from storage.errors import SourceUnreadable
from storage.source_files import SourceFile, read_blocks, text_encoding, write_utf8

DELIMITERS = (",", ";", "\t", "|")
NO_DELIMITERS = frozenset("\"'.-_+()[]{}$%€£@")
"""Marks that stand inside values."""
GLIMPSE, MIN_GLIMPSE = 50, 3
"""Lines that are looked at, and that are needed, to say that a mark separates columns."""
NULL_WORDS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")
"""Read as missing where that turns a column of text into numbers, dates or booleans; otherwise they are text."""

EXCEL_LINE = re.compile(rb"(?:\xef\xbb\xbf)?sep=([^\w\s\x80-\xff]|\t)\r?\n", re.IGNORECASE)
"""A first line that tells Excel the delimiter."""

DECIMAL_COMMA = r"[-+]?\d+(,\d+)?"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Dialect:
    """How one file is written; ``types`` are DuckDB's, by column."""

    delimiter: str
    quote: str
    escape: str
    comment: str
    skip: int
    header: bool
    date_format: str | None
    time_format: str | None
    types: dict[str, str]
    nulls: tuple[str, ...] = ("",)
    decimal: str = "."

    @property
    def options(self) -> str:
        """The options of ``read_csv`` but for the types."""
        options = {
            "delim": sql_text(self.delimiter), "quote": sql_text(self.quote), "escape": sql_text(self.escape),
            "comment": sql_text(self.comment), "skip": str(self.skip), "nullstr": sql_list(self.nulls),
            "decimal_separator": sql_text(self.decimal), "auto_detect": "false", "hive_partitioning": "false",
        }  # fmt: skip
        if self.date_format:
            options["dateformat"] = sql_text(self.date_format)
        if self.time_format:
            options["timestampformat"] = sql_text(self.time_format)
        return ", ".join(f"{key} = {value}" for key, value in options.items())

    def read(self, paths: Sequence[Path], *, as_text: bool = False) -> str:
        """SQL that reads files of this dialect."""
        types = ", ".join(
            f"{sql_text(name)}: {sql_text('VARCHAR' if as_text else type_)}" for name, type_ in self.types.items()
        )
        header = "true" if self.header else "false"
        return f"SELECT * FROM read_csv({sql_list(paths)}, {self.options}, header = {header}, columns = {{{types}}})"


def csv_sql(
    connection: duckdb.DuckDBPyConnection,
    files: Sequence[SourceFile],
    links: Sequence[Path],
    *,
    like: Sequence[ColumnInfo],
    delimiter: str | None = None,
) -> tuple[str, tuple[Path, ...], tuple[str, ...]]:
    """SQL that reads CSV files, the paths that it reads, and what was decided, one sentence each.

    Args:
        connection: Not confined yet.
        files: All with the same columns.
        links: A path without special characters for each; a copy in UTF-8 is written beside it where one is needed.
        like: Columns that stay text although they read as numbers, where they are text here.
        delimiter: Between columns; found out when left out.

    Raises:
        SourceUnreadable: A file is no CSV, names a column twice, or has other columns than the first.
    """
    notes: list[str] = []
    paths = [_in_utf8(file, link, notes) for file, link in zip(files, links, strict=True)]
    dialects = [_sniff(connection, file, path, delimiter) for file, path in zip(files, paths, strict=True)]
    dialect = _merge(files, dialects)
    if len(dialect.types) == 1 and (mark := _likely_delimiter(files[0])) is not None:
        notes.append(
            f"Read as one column, though every line holds {mark!r} as often. If that separates columns, add it again "
            f"with --delimiter {mark!r}."
        )
    try:
        dialect = _refine(connection, dialect, paths, notes)
    except duckdb.Error as exc:
        raise SourceUnreadable(_why_not(files[0], dialect.delimiter) or f"{files[0].path}: {_reason(exc)}") from exc
    if dialect.skip:
        notes.append(f"Lines skipped above the header: {dialect.skip}.")
    if not dialect.header:
        notes.append("No header line was found: the columns are named column0, column1 and so on.")
    text = {column.name for column in like if column.dtype is Dtype.STRING}
    types = {name: "VARCHAR" if name in text else type_ for name, type_ in dialect.types.items()}
    return replace(dialect, types=types).read(paths), tuple(paths), tuple(notes)


def _in_utf8(file: SourceFile, link: Path, notes: list[str]) -> Path:
    encoding = text_encoding(file)
    if encoding == "utf-8":
        return link
    notes.append(f"{file.path.name} is not UTF-8; it was read as {encoding}.")
    copy = link.with_name(f"{link.name.split('.')[0]}-utf8.csv")
    write_utf8(file, encoding, copy)
    return copy


def _sniff(connection: duckdb.DuckDBPyConnection, file: SourceFile, path: Path, delimiter: str | None) -> _Dialect:
    told = EXCEL_LINE.match(next(read_blocks(file), b""))
    mark = delimiter or (told.group(1).decode() if told else None)
    options = ("" if mark is None else f", delim = {sql_text(mark)}") + (", skip = 1" if told else "")
    try:
        dialect = _ask(connection, path, options)
        if len(dialect.types) == 1 and delimiter is None and (why := _why_not(file, None)):
            raise SourceUnreadable(why)
        if any(type_ == "VARCHAR" for type_ in dialect.types.values()):
            with_nulls = _ask(connection, path, f"{options}, nullstr = {sql_list(NULL_WORDS)}")
            if _typed(with_nulls) > _typed(dialect):
                dialect = replace(with_nulls, nulls=NULL_WORDS)
        if dialect.skip and not dialect.header and not told:
            # A title above a header is fine; rows left out to make the rest fit would be lost.
            raise SourceUnreadable(
                _why_not(file, None)
                or f"{file.path}: its lines have different numbers of columns, the first {dialect.skip} do not fit the "
                "rest; give every line the header's columns, and quote values that hold the delimiter"
            )
        if dialect.header:
            _require_new_names(connection, file, path, dialect)
    except duckdb.Error as exc:
        why = _why_not(file, None) or f"{file.path} cannot be read as CSV: {_reason(exc)}"
        raise SourceUnreadable(why) from exc
    return dialect


def _ask(connection: duckdb.DuckDBPyConnection, path: Path, options: str) -> _Dialect:
    found = connection.execute(
        "SELECT Delimiter, Quote, Escape, Comment, SkipRows, HasHeader, DateFormat, TimestampFormat, "
        "list_transform(Columns, lambda c: [c.name, c.type]) "
        f"FROM sniff_csv({sql_text(path)}, sample_size = -1{options})"
    ).fetchone()
    if found is None:
        raise SourceUnreadable(f"{path} cannot be read as CSV")
    quote, escape, comment = (("" if mark in {None, "(empty)", "\0"} else str(mark)) for mark in found[1:4])
    dialect = _Dialect(
        delimiter=found[0], quote=quote, escape=escape or quote, comment=comment, skip=found[4], header=found[5],
        date_format=found[6], time_format=found[7], types=dict(found[8]),
    )  # fmt: skip
    return _keep_words(connection, path, dialect)


def _keep_words(connection: duckdb.DuckDBPyConnection, path: Path, dialect: _Dialect) -> _Dialect:
    """Booleans are columns of true and false alone.

    DuckDB takes yes, no, y, n, t and f as well; those are words, and a class that is called "Yes" has to stay so.
    """
    found = [name for name, type_ in dialect.types.items() if type_ == "BOOLEAN"]
    if not found:
        return dialect
    wanted = ", ".join(f"bool_and(lower({sql_name(name)}) IN ('true', 'false', ''))" for name in found)
    plain = connection.execute(f"SELECT {wanted} FROM ({dialect.read([path], as_text=True)})").fetchone() or ()
    words = [name for name, is_plain in zip(found, plain, strict=True) if is_plain is False]
    return replace(dialect, types={**dialect.types, **dict.fromkeys(words, "VARCHAR")})


def _typed(dialect: _Dialect) -> int:
    return sum(type_ != "VARCHAR" for type_ in dialect.types.values())


def _require_new_names(connection: duckdb.DuckDBPyConnection, file: SourceFile, path: Path, dialect: _Dialect) -> None:
    # DuckDB renames a second "a" to "a_1"; the header line itself tells.
    header = connection.execute(replace(dialect, header=False).read([path], as_text=True) + " LIMIT 1").fetchone() or ()
    seen: dict[str, str] = {}
    try:
        for name in header:
            if name:
                require_new_name(seen, name)
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{file.path}: {exc}") from exc


def _merge(files: Sequence[SourceFile], dialects: Sequence[_Dialect]) -> _Dialect:
    """One dialect for all files: they must agree but for types, where the wider one is taken."""
    first = dialects[0]
    types = dict(first.types)
    nulls = max((dialect.nulls for dialect in dialects), key=len)
    for file, dialect in zip(files[1:], dialects[1:], strict=True):
        if list(dialect.types) != list(types):
            raise SourceUnreadable(
                f"{file.path} has other columns than {files[0].path}: {', '.join(dialect.types)[:200]}; "
                "add the files one by one, or pick columns with a query"
            )
        types = {name: _wider(type_, dialect.types[name]) for name, type_ in types.items()}
    return replace(first, types=types, nulls=nulls)


def _wider(one: str, other: str) -> str:
    if one == other:
        return one
    return "DOUBLE" if {one, other} == {"BIGINT", "DOUBLE"} else "VARCHAR"


def _refine(
    connection: duckdb.DuckDBPyConnection, dialect: _Dialect, paths: Sequence[Path], notes: list[str]
) -> _Dialect:
    """Look at every value of the text columns: where all are numbers with a decimal comma, read them so."""
    if dialect.nulls != ("",):
        notes.append(f"Read as missing: {', '.join(word for word in NULL_WORDS if word)}.")
    texts = [name for name, type_ in dialect.types.items() if type_ == "VARCHAR"]
    if not texts or dialect.delimiter == "," or "DOUBLE" in dialect.types.values():
        return dialect
    wanted = ", ".join(
        f"bool_and(regexp_full_match({sql_name(name)}, {sql_text(DECIMAL_COMMA)})) "
        f"AND bool_or(contains({sql_name(name)}, ','))"
        for name in texts
    )
    found = connection.execute(f"SELECT {wanted} FROM ({dialect.read(paths, as_text=True)})").fetchone() or ()
    commas = [name for name, is_number in zip(texts, found, strict=True) if is_number]
    if not commas:
        return dialect
    notes.append(f"Read with a decimal comma: {', '.join(commas)}.")
    return replace(dialect, types={**dialect.types, **dict.fromkeys(commas, "DOUBLE")}, decimal=",")


def _why_not(file: SourceFile, delimiter: str | None) -> str | None:
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


def _likely_delimiter(file: SourceFile) -> str | None:
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


def _reason(exc: Exception) -> str:
    if isinstance(exc, duckdb.OutOfMemoryException):
        return OUT_OF_MEMORY
    lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
    told = [line for line in lines if not line.startswith(("Possible ", "The search space", "LINE ", "^", "*"))]
    return "; ".join(told[:3])[:300]
