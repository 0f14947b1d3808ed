"""Opens what somebody brings - files, databases, addresses - as one stream of Arrow batches in bounded memory."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

import duckdb
import pyarrow as pa
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from storage.addresses import is_address, redacted, require_whole
from storage.arrow_source import read_arrow
from storage.columns import ColumnInfo, Dtype
from storage.conform import ValueMisfit, columns_of
from storage.csv_dialect import csv_scan
from storage.csv_forms import Earlier
from storage.download import DownloadLimits, download
from storage.duck import confine, open_duckdb, short_message, sql_text
from storage.errors import SourceUnreadable
from storage.json_reading import json_scan
from storage.parquet_columns import parquet_scan
from storage.postgres_source import SCHEMES, spool_postgres
from storage.readings import Reading, Readings
from storage.scratch import open_scratch
from storage.source_files import Format, SourceFile, find_files, hash_files, unpacked
from storage.sqlite_source import read_sqlite

BATCH_ROWS = 65_536
BATCH_CELLS = 8_000_000
"""Rows times columns of a batch: 64 MB of numbers, where the columns are many; DuckDB gives at least 2,048 rows."""

Used = TypeVar("Used")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How to read a source.

    Attributes:
        tmp: Directory for spill and transcoded copies.
        query: SQL that picks the rows; a file is the table ``source`` in it. Required for databases; SQLite and
            Postgres run it themselves.
        prepare: DuckDB SQL over the rows that were picked; they are the table ``source`` in it.
        sheet: The sheet of a workbook; the first with rows when left out.
        delimiter: What separates the columns of a CSV file, one to four characters; found out when left out.
        like: Columns of the rows that these go with (an append): text there stays text in a text format.
        readings: How those columns were read where that was in question: they are read likewise, or refused.
        memory: DuckDB's memory limit.
        threads: DuckDB's threads.
        limits: For sources that are fetched.
        sample: Take the columns' types from the first rows of large text files; ``SampleMisled`` while the rows are
            read says that they have to be read without it. ``read_source`` does both.
    """

    tmp: Path
    query: str | None = None
    prepare: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    like: tuple[ColumnInfo, ...] = ()
    readings: Readings = field(default_factory=dict)
    memory: str = "1GB"
    threads: int = 1
    limits: DownloadLimits = field(default_factory=DownloadLimits)
    sample: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An open source.

    Attributes:
        batches: The rows, to be read once, before the source is closed.
        sha256: Of the file's bytes; of several files' hashes in order of their paths; of a Delta table's version and
            file list; of what an address sent; of a Postgres query's rows as an Arrow stream.
        notes: What was decided while reading it, one sentence each (another encoding, a decimal comma).
        line_of: The line of the file in which a row stands, both from 1; None where the source has no lines, or where
            its rows went through SQL.
        readings: How the columns of a text file were read that may be read otherwise as well.
        sheets: Of a workbook, the one that was read first.
    """

    batches: pa.RecordBatchReader
    sha256: str
    notes: tuple[str, ...] = ()
    line_of: Callable[[int], int | None] | None = None
    readings: dict[str, Reading] = field(default_factory=dict)
    sheets: tuple[str, ...] = ()


class SampleMisled(SourceUnreadable):
    """A row does not fit what the first rows of its file say; the whole file says whether that is a fault."""


def read_source(source: str, options: SourceOptions, use: Callable[[Source], Used]) -> Used:
    """What ``use`` makes of a source; of a large text file, mostly in one pass over its rows.

    Where a late row is of another type than the first ones, ``use`` is called once more, for all rows from the first:
    what it began must not count before it returns.

    Raises:
        SourceUnreadable, StateUnwritable: As ``open_source``; and whatever ``use`` raises.
    """
    try:
        with open_source(source, replace(options, sample=not is_address(source))) as opened:
            return _use(opened, use)
    except SampleMisled:
        with open_source(source, options) as opened:
            return _use(opened, use)


def _use(opened: Source, use: Callable[[Source], Used]) -> Used:
    try:
        return use(opened)
    except ValueMisfit as exc:
        line = None if opened.line_of is None else opened.line_of(exc.row)
        raise SourceUnreadable(f"{exc}" if line is None else f"line {line}: {exc}") from exc


@contextmanager
def open_source(source: str, options: SourceOptions) -> Iterator[Source]:
    """Open a table that somebody brings.

    A CSV, TSV, Parquet, NDJSON, JSON, Arrow or Excel file, a glob of them or a directory; a DuckDB or SQLite file; a
    Delta table; an http(s) address of such a file; a Postgres server. Files may be compressed (gzip, zstd). The format
    is told by the content first, then by the name. A query reads what the source names and nothing else.

    Raises:
        SourceUnreadable: It does not exist, is empty, is not what it claims to be, names a column twice, or the
            query is wrong. Also while the batches are read.
        StateUnwritable: There is no room for a work directory, or for a copy.
    """
    with contextlib.ExitStack() as stack:
        work = open_scratch(options.tmp, stack)
        options = replace(options, tmp=work)  # what spills goes with it
        opened = _open(source, options, work, stack)
        if options.prepare is not None:
            rows = _query_stream("the prepared rows", opened.batches, options.prepare, options, stack)
            opened = replace(opened, batches=rows, line_of=None)
        yield opened


def told_source(source: str) -> str:
    """What the record says of a source: a path made absolute, an address without its password."""
    return redacted(source) if is_address(source) else str(Path(source).absolute())


def _open(source: str, options: SourceOptions, work: Path, stack: contextlib.ExitStack) -> Source:
    if not source.strip():  # as a path it would be the folder that the process happens to be in
        raise SourceUnreadable("the source is empty; name a path, a glob or an address")
    if not is_address(source):
        try:
            files = [] if (Path(source) / "_delta_log").is_dir() else find_files(source)
        except PermissionError as exc:
            raise SourceUnreadable(
                f"{source} may not be read ({exc.strerror}: {exc.filename}); let the user that the appliance runs as "
                "read it and look into the folders above it, or upload it"
            ) from exc
        if not files:
            return _open_delta(source, options, stack)
        return _open_files(source, files, options, work, stack)
    require_whole(source)
    scheme = source.partition("://")[0].lower()
    if scheme in {"http", "https"}:
        files = find_files(str(download(source, work, options.limits)))
        return _open_files(redacted(source), files, options, work, stack)
    if scheme in SCHEMES:
        spooled = SourceFile(path=work / "rows.arrows", format=Format.ARROW_STREAM)
        spool_postgres(source, options.query, spooled.path, [c.name for c in options.like if c.dtype is Dtype.STRING])
        batches = _guard(redacted(source), read_arrow([spooled], stack))
        return Source(batches=batches, sha256=hash_files([spooled]))
    way = "from other servers export the rows to a Parquet or CSV file and add that"
    if scheme in {"mysql", "mariadb"}:
        way = "MySQL is not read; write the rows to a file with 'mysql --batch -e \"SELECT …\" > rows.tsv' and add that"
    raise SourceUnreadable(f"{redacted(source)} cannot be read: addresses begin with http, https or postgresql; {way}")


def _open_files(
    source: str, files: list[SourceFile], options: SourceOptions, work: Path, stack: contextlib.ExitStack
) -> Source:
    sha256 = hash_files(files)
    files = unpacked(files, work)
    notes: list[str] = []
    line_of, readings, sheets = None, dict[str, Reading](), tuple[str, ...]()
    match files[0].format:
        case Format.SQLITE:
            query = _require_query(source, options.query, len(files), "SQLite")
            batches = _guard(source, read_sqlite(files[0].path, query, stack, notes))
        case Format.DUCKDB:
            query = _require_query(source, options.query, len(files), "DuckDB")
            batches = _query_database(source, _connect(options, stack), files[0].path, query)
        case Format.ARROW | Format.ARROW_STREAM:
            batches = _query_stream(source, read_arrow(files, stack, notes), options.query, options, stack)
        case Format.EXCEL:
            from storage.excel_source import read_sheets  # noqa: PLC0415  (loads fastexcel, which few files need)

            frame, sheets = read_sheets(files, options.sheet, notes)
            batches = _query_stream(source, pa.RecordBatchReader.from_stream(frame), options.query, options, stack)
        case _:
            connection = _connect(options, stack)
            scan, said = _scan_sql(files, connection, work, options)
            notes += said
            batches = _query_files(source, connection, scan, options.query)
            line_of = scan.line_of if options.query is None else None
            readings = scan.readings
    return Source(batches=batches, sha256=sha256, notes=tuple(notes), line_of=line_of, readings=readings, sheets=sheets)


def _connect(options: SourceOptions, stack: contextlib.ExitStack) -> duckdb.DuckDBPyConnection:
    connection = open_duckdb(options.tmp, memory=options.memory, threads=options.threads)
    stack.callback(connection.close)
    return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """SQL that reads the files, the paths it reads them by, and the files' own paths; ``sampled`` as ``CsvScan``."""

    sql: str
    paths: tuple[Path, ...]
    originals: tuple[Path, ...]
    sampled: bool = False
    line_of: Callable[[int], int | None] | None = None
    readings: dict[str, Reading] = field(default_factory=dict)

    @property
    def unreadable(self) -> type[SourceUnreadable]:
        """What an error while the rows are read means."""
        return SampleMisled if self.sampled else SourceUnreadable

    def tell(self, exc: Exception) -> str:
        """What went wrong, with the files' own paths."""
        text = short_message(exc)
        for path, original in zip(self.paths, self.originals, strict=True):
            text = text.replace(str(path), str(original))
        return text


def _scan_sql(
    files: Sequence[SourceFile], connection: duckdb.DuckDBPyConnection, work: Path, options: SourceOptions
) -> tuple[_Scan, tuple[str, ...]]:
    # Links with plain names: DuckDB would take [ and * in a file's own name for a pattern.
    links = tuple(work / f"{number}{file.suffix}" for number, file in enumerate(files))
    for link, file in zip(links, files, strict=True):
        link.symlink_to(file.path.absolute())
    originals = tuple(file.path for file in files)
    match files[0].format:
        case Format.PARQUET:
            table = parquet_scan(connection, files, links)
            return _Scan(sql=table.sql, paths=table.paths, originals=originals), table.notes
        case Format.JSON:
            plain = _Scan(sql="", paths=links, originals=originals)
            try:
                told = json_scan(connection, files, links, [c.name for c in options.like if c.dtype is Dtype.STRING])
            except duckdb.Error as exc:
                raise SourceUnreadable(f"{files[0].path} cannot be read: {plain.tell(exc)}") from exc
            return replace(plain, sql=told.sql, paths=told.paths), told.notes
        case _:
            found = csv_scan(
                connection, files, links, earlier=Earlier(columns=options.like, readings=options.readings),
                delimiter=options.delimiter, sample=options.sample,
            )  # fmt: skip
            scan = _Scan(
                sql=found.sql, paths=found.paths, originals=originals, sampled=found.sampled, line_of=found.line_of,
                readings=found.readings,
            )  # fmt: skip
            return scan, found.notes


def _query_files(
    source: str, connection: duckdb.DuckDBPyConnection, scan: _Scan, query: str | None
) -> pa.RecordBatchReader:
    try:
        connection.execute(f"CREATE VIEW source AS {scan.sql}")
        confine(connection, scan.paths)
    except duckdb.Error as exc:
        raise SourceUnreadable(f"{source} cannot be read: {scan.tell(exc)}") from exc
    return _run(source, connection, query, tell=scan.tell, wrong=scan.unreadable)


def _query_database(source: str, connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> pa.RecordBatchReader:
    try:
        connection.execute(f"ATTACH {sql_text(path.absolute())} AS brought (READ_ONLY)")
        connection.execute("USE brought")
        confine(connection, [path.absolute()])
    except duckdb.Error as exc:
        way = "; end the program that holds it, or copy the file" if "lock" in str(exc) else ""
        raise SourceUnreadable(f"{source} cannot be opened as a DuckDB database: {short_message(exc)}{way}") from exc
    return _run(source, connection, query)


def _run(
    source: str,
    connection: duckdb.DuckDBPyConnection,
    query: str | None,
    tell: Callable[[Exception], str] = short_message,
    wrong: type[SourceUnreadable] = SourceUnreadable,
) -> pa.RecordBatchReader:
    try:
        if query is not None:
            _require_select(connection, query)
        relation = connection.sql(query or "SELECT * FROM source")
        reader = relation.to_arrow_reader(max(1, min(BATCH_ROWS, BATCH_CELLS // len(relation.columns))))
    except duckdb.Error as exc:
        raise wrong(f"{'the query' if query else source} cannot be run: {tell(exc)}") from exc
    return _guard(source, reader, tell, wrong)


def _require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise SourceUnreadable("the query must be one SELECT statement; name a file's rows 'source' in it")


def _open_delta(source: str, options: SourceOptions, stack: contextlib.ExitStack) -> Source:
    try:
        table = DeltaTable(source)
        files = "\n".join(sorted(table.file_uris()))
        reader = pa.RecordBatchReader.from_stream(table.scan())
    except (DeltaError, OSError) as exc:
        raise SourceUnreadable(f"{source} cannot be read as a Delta table: {exc}") from exc
    sha256 = hashlib.sha256(f"{table.version()}\n{files}".encode()).hexdigest()
    return Source(batches=_query_stream(source, reader, options.query, options, stack), sha256=sha256)


def _query_stream(
    source: str, reader: pa.RecordBatchReader, query: str | None, options: SourceOptions, stack: contextlib.ExitStack
) -> pa.RecordBatchReader:
    """The rows of a stream, or of a query over them as the table ``source``."""
    rows = _guard(source, reader, tell=_tell_stream)
    if query is None:
        return rows
    connection = _connect(options, stack)
    broken: list[SourceUnreadable] = []
    try:
        # A stream can be read once, a query may read it twice; what does not fit in memory spills.
        connection.register("stream", _remember(rows, broken))
        connection.execute("CREATE TABLE source AS SELECT * FROM stream")
        connection.unregister("stream")
        confine(connection, [])
    except (duckdb.Error, pa.ArrowException) as exc:
        raise broken[0] if broken else SourceUnreadable(f"{source} cannot be read: {short_message(exc)}") from exc
    return _run(source, connection, query)


def _tell_stream(exc: Exception) -> str:
    """What went wrong; an Arrow error wraps its cause in the names of all that it went through."""
    told = short_message(exc)
    if "No such file" in str(exc) or "not found" in str(exc):
        return f"a file that belongs to it is not there: {told}"
    return told


def _remember(reader: pa.RecordBatchReader, broken: list[SourceUnreadable]) -> pa.RecordBatchReader:
    """The same stream; the error that ends it is kept, since through DuckDB it would lose its class and words."""

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except SourceUnreadable as exc:
            broken.append(exc)
            raise

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _guard(
    source: str,
    reader: pa.RecordBatchReader,
    tell: Callable[[Exception], str] = short_message,
    wrong: type[SourceUnreadable] = SourceUnreadable,
) -> pa.RecordBatchReader:
    """The same stream; duplicate names and errors on the way are said in our words."""
    try:
        columns_of(reader.schema)
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{source}: {exc}") from exc

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from reader
        except (duckdb.Error, pa.ArrowException, OSError) as exc:
            raise wrong(f"{source} cannot be read to its end: {tell(exc)}") from exc

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _require_query(source: str, query: str | None, files: int, kind: str) -> str:
    if files > 1:
        raise SourceUnreadable(f"{source} names several {kind} databases; name one")
    if query is None:
        raise SourceUnreadable(f"{source} is a {kind} database: say with a query (--query) which rows to take")
    return query
