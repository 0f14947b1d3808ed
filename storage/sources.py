"""Opens what somebody brings - files, databases, tables - as one stream of Arrow batches in bounded memory."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError

from storage.columns import ColumnInfo
from storage.conform import columns_of, require_new_name
from storage.csv_dialect import csv_sql
from storage.duck import confine, open_duckdb, sql_list, sql_text
from storage.errors import SourceUnreadable, StateUnwritable
from storage.source_files import Format, SourceFile, find_files, hash_files
from storage.sqlite_source import read_sqlite

BATCH_ROWS = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceOptions:
    """How to read a source.

    Attributes:
        tmp: Directory for spill and transcoded copies.
        query: SQL that picks the rows; a file is the table ``source`` in it. Required for databases.
        like: Columns whose types a text format shall be read with, where the names are the same (an append).
        memory: DuckDB's memory limit.
        threads: DuckDB's threads.
    """

    tmp: Path
    query: str | None = None
    like: tuple[ColumnInfo, ...] = ()
    memory: str = "1GB"
    threads: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """An open source.

    Attributes:
        batches: The rows, to be read once, before the source is closed.
        sha256: Of the file's bytes; of several files' hashes in order of their paths; None for a Delta table.
        notes: What was decided while reading it, one sentence each (another encoding, a decimal comma).
    """

    batches: pa.RecordBatchReader
    sha256: str | None
    notes: tuple[str, ...] = ()


@contextmanager
def open_source(source: str, options: SourceOptions) -> Iterator[Source]:
    """Open a CSV, TSV, Parquet, NDJSON or JSON file, a glob of them, a DuckDB or SQLite file, or a Delta table.

    Text formats may be compressed (gzip, zstd). The format is told by the content first, then by the name. A query
    reads these files and nothing else.

    Raises:
        SourceUnreadable: It does not exist, is empty, is not what it claims to be, names a column twice, or the
            query is wrong. Also while the batches are read.
        StateUnwritable: There is no room for a work directory, or for a copy in UTF-8.
    """
    with contextlib.ExitStack() as stack:
        work = _work_directory(options.tmp, stack)
        if Path(source).is_dir():
            yield _open_delta(source, options, stack)
            return
        files = find_files(source)
        sha256 = hash_files(files)
        kind = files[0].format
        if kind is Format.SQLITE:
            query = _require_query(source, options.query, len(files), "SQLite")
            yield Source(batches=_guard(source, read_sqlite(files[0].path, query, stack)), sha256=sha256)
            return
        connection = _connect(options, stack)
        if kind is Format.DUCKDB:
            query = _require_query(source, options.query, len(files), "DuckDB")
            batches = _query_database(source, connection, files[0].path, query)
        else:
            scan, notes = _scan_sql(files, connection, work, options)
            batches = _query_files(source, connection, scan, options.query)
            yield Source(batches=batches, sha256=sha256, notes=notes)
            return
        yield Source(batches=batches, sha256=sha256)


def _work_directory(tmp: Path, stack: contextlib.ExitStack) -> Path:
    try:
        return Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="source-", dir=tmp)))
    except OSError as exc:
        raise StateUnwritable(f"cannot write below {tmp}: {exc.strerror}; run 'appliance doctor'") from exc


def _connect(options: SourceOptions, stack: contextlib.ExitStack) -> duckdb.DuckDBPyConnection:
    connection = open_duckdb(options.tmp, memory=options.memory, threads=options.threads)
    stack.callback(connection.close)
    return connection


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scan:
    """SQL that reads the files, the paths it reads them by, and the files' own paths."""

    sql: str
    paths: tuple[Path, ...]
    originals: tuple[Path, ...]

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
    paths, notes = links, tuple[str, ...]()
    match files[0].format:
        case Format.PARQUET:
            for file in files:
                _require_parquet(file)
            sql = f"SELECT * FROM read_parquet({sql_list(links)}, hive_partitioning = false)"
        case Format.JSON:
            how = "sample_size = -1, union_by_name = true, hive_partitioning = false"
            sql = f"SELECT * FROM read_json({sql_list(links)}, {how})"
        case _:
            sql, paths, notes = csv_sql(connection, files, links, like=options.like)
    return _Scan(sql=sql, paths=paths, originals=tuple(file.path for file in files)), notes


def _require_parquet(file: SourceFile) -> None:
    seen: dict[str, str] = {}
    try:
        names = pq.read_schema(file.path).names
    except (pa.ArrowException, OSError) as exc:
        raise SourceUnreadable(f"{file.path} cannot be read as Parquet: {str(exc).splitlines()[0]}") from exc
    try:
        for name in names:
            require_new_name(seen, name)
    except SourceUnreadable as exc:
        raise SourceUnreadable(f"{file.path}: {exc}") from exc


def _query_files(
    source: str, connection: duckdb.DuckDBPyConnection, scan: _Scan, query: str | None
) -> pa.RecordBatchReader:
    try:
        connection.execute(f"CREATE VIEW source AS {scan.sql}")
        confine(connection, scan.paths)
    except duckdb.Error as exc:
        raise SourceUnreadable(f"{source} cannot be read: {scan.tell(exc)}") from exc
    return _run(source, connection, query, tell=scan.tell)


def _query_database(source: str, connection: duckdb.DuckDBPyConnection, path: Path, query: str) -> pa.RecordBatchReader:
    try:
        connection.execute(f"ATTACH {sql_text(path.absolute())} AS brought (READ_ONLY)")
        connection.execute("USE brought")
        confine(connection, [path.absolute()])
    except duckdb.Error as exc:
        raise SourceUnreadable(f"{source} cannot be opened as a DuckDB database: {short_message(exc)}") from exc
    return _run(source, connection, query)


def short_message(exc: Exception) -> str:
    """A library's message without its list of options: the lines that say what is wrong, at most 300 characters."""
    lines = [line.strip() for line in str(exc).splitlines()]
    stop = next((i for i, line in enumerate(lines) if line.startswith(("Possible ", "The search space"))), len(lines))
    told = [line for line in lines[:stop] if line and not line.startswith("LINE ") and not set(line) <= set("^ ")]
    return "; ".join(told)[:300]


def _run(
    source: str,
    connection: duckdb.DuckDBPyConnection,
    query: str | None,
    tell: Callable[[Exception], str] = short_message,
) -> pa.RecordBatchReader:
    try:
        if query is not None:
            _require_select(connection, query)
        relation = connection.sql(query or "SELECT * FROM source")
        reader = relation.to_arrow_reader(BATCH_ROWS)
    except duckdb.Error as exc:
        raise SourceUnreadable(f"{'the query' if query else source} cannot be run: {tell(exc)}") from exc
    return _guard(source, reader, tell)


def _require_select(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    statements = connection.extract_statements(query)
    if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
        raise SourceUnreadable("the query must be one SELECT statement; name a file's rows 'source' in it")


def _open_delta(source: str, options: SourceOptions, stack: contextlib.ExitStack) -> Source:
    try:
        if not DeltaTable.is_deltatable(source):
            raise SourceUnreadable(
                f"{source} is a directory without a Delta table; name files, like '{source.rstrip('/')}/*.parquet'"
            )
        reader = pa.RecordBatchReader.from_stream(DeltaTable(source).scan())
    except (DeltaError, OSError) as exc:
        raise SourceUnreadable(f"{source} cannot be read as a Delta table: {exc}") from exc
    if options.query is None:
        return Source(batches=_guard(source, reader), sha256=None)
    connection = _connect(options, stack)
    try:
        # A stream can be read once, a query may read it twice; what does not fit in memory spills.
        connection.register("stream", reader)
        connection.execute("CREATE TABLE source AS SELECT * FROM stream")
        connection.unregister("stream")
        confine(connection, [])
    except (duckdb.Error, pa.ArrowException) as exc:
        raise SourceUnreadable(f"{source} cannot be read: {short_message(exc)}") from exc
    return Source(batches=_run(source, connection, options.query), sha256=None)


def _guard(
    source: str, reader: pa.RecordBatchReader, tell: Callable[[Exception], str] = short_message
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
            raise SourceUnreadable(f"{source} cannot be read to its end: {tell(exc)}") from exc

    return pa.RecordBatchReader.from_batches(reader.schema, batches())


def _require_query(source: str, query: str | None, files: int, kind: str) -> str:
    if files > 1:
        raise SourceUnreadable(f"{source} names several {kind} databases; name one")
    if query is None:
        raise SourceUnreadable(f"{source} is a {kind} database: say with a query (--query) which rows to take")
    return query
