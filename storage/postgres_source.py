"""Reads a query's rows from a Postgres server, through ADBC: the optional extra ``postgres``.

The rows are spooled to an Arrow file first: the server is let go at once, and the file's bytes have a sha256.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from types import ModuleType
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

import pyarrow as pa

from storage.addresses import redacted, scrubbed
from storage.conform import require_kept
from storage.errors import SourceUnreachable, SourceUnreadable, StateUnwritable

SCHEMES = ("postgresql", "postgres")
CONNECT_TIMEOUT_S = 10
_NOT_NOW = ("08", "53", "57P")
"""How the SQLSTATE of what may pass begins: a lost connection, too many of them, a server that stops or starts."""

_ENDED = ("FATAL:", "closed the connection")
"""What libpq says of a session that ended amid the rows; a fault of the query says ERROR."""

_READ_ONLY = "-c default_transaction_read_only=on"


def spool_postgres(address: str, query: str | None, target: Path, texts: Collection[str] = ()) -> None:
    """Write the rows of one SELECT to an Arrow stream file, in bounded memory; the session is read-only.

    A numeric is a float64, or the text that the server sends where its column is one of ``texts``. A password that the
    address lacks is looked for where libpq does: PGPASSWORD, ``~/.pgpass``.

    Raises:
        SourceUnreachable: The server does not answer, or not now.
        SourceUnreadable: The extra is not installed, the server refuses, or the query is wrong.
        StateUnwritable: There is no room for the rows.
    """
    told = redacted(address)
    if query is None:
        raise SourceUnreadable(f"{told} is a Postgres database: say with a query (--query) which rows to take")
    driver = _driver()
    try:
        with driver.connect(_read_only(address)) as connection, connection.cursor() as cursor:
            cursor.execute(query)
            if cursor.description is None:
                raise SourceUnreadable("the query must be one SELECT statement")
            _write(cursor.fetch_record_batch(), target, texts)
    except driver.Error as exc:
        lines = [line.strip() for line in str(exc).splitlines() if line.strip()]
        kind = SourceUnreachable if _may_pass(exc) else SourceUnreadable
        raise kind(f"the query cannot be run on {told}: {scrubbed('; '.join(lines), address)[:300]}") from exc
    except (pa.ArrowException, OSError) as exc:
        if isinstance(exc, OSError) and exc.strerror:
            raise StateUnwritable(f"cannot keep the rows of {told} in {target.parent}: {exc.strerror}") from exc
        ended = any(sign in str(exc) for sign in _ENDED)
        kind = SourceUnreachable if ended else SourceUnreadable
        raise kind(f"the rows of {told} cannot be read to their end: {scrubbed(str(exc), address)}") from exc
    except ValueError as exc:
        raise SourceUnreadable(f"{told} is no address: {scrubbed(str(exc), address)}") from exc


def _may_pass(error: Exception) -> bool:
    """Whether the server did not answer, or not now: what it says itself while one connects begins with FATAL."""
    state = getattr(error, "sqlstate", None)
    if state:
        return str(state).startswith(_NOT_NOW)
    return "Failed to connect" in str(error) and "FATAL" not in str(error)


def _driver() -> ModuleType:
    try:
        import adbc_driver_postgresql.dbapi as driver  # noqa: PLC0415  (an extra, and seldom needed)
    except ModuleNotFoundError as exc:
        raise SourceUnreadable(
            "reading Postgres needs the extra 'postgres' (the package adbc-driver-postgresql): run the installer again "
            "with ./install.sh --with postgres, or export the rows to a Parquet or CSV file"
        ) from exc
    module: ModuleType = driver
    return module


def _read_only(address: str) -> str:
    parts = urlsplit(address)
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    options["options"] = f"{options.get('options', '')} {_READ_ONLY}".strip()
    options.setdefault("connect_timeout", str(CONNECT_TIMEOUT_S))
    return parts._replace(query=urlencode(options, quote_via=quote)).geturl()


def _write(rows: pa.RecordBatchReader, target: Path, texts: Collection[str]) -> None:
    schema = pa.schema([pa.field(field.name, _plain(field.type, is_text=field.name in texts)) for field in rows.schema])
    with target.open("wb") as file, pa.ipc.new_stream(file, schema) as out:
        for batch in _plain_batches(rows, schema):
            out.write_batch(batch)


def _plain_batches(rows: pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for batch in rows:
        arrays = []
        for values, field in zip(batch.columns, schema, strict=True):
            storage = values.storage if isinstance(values, pa.ExtensionArray) else values
            arrays.append(storage.cast(field.type))
            if pa.types.is_floating(field.type) and pa.types.is_string(storage.type):
                require_kept(storage, arrays[-1], field.name)
        yield pa.RecordBatch.from_arrays(arrays, schema=schema)


def _plain(kind: pa.DataType, *, is_text: bool) -> pa.DataType:
    """What a Postgres type is kept as: numeric comes as text of a named type, and is a number."""
    if not isinstance(kind, pa.BaseExtensionType):
        return kind
    return pa.float64() if getattr(kind, "type_name", "") == "numeric" and not is_text else kind.storage_type
