"""The child process that runs somebody's SELECT: ``python -m appliance.api.control.query_child``, order in, answer out.

It reads a ``QueryOrder`` from its standard input and writes a ``QueryAnswer``. It sees the Parquet files of the order
and no other file, no network, no setting; it ends by itself when its time is up, whatever DuckDB is doing.
"""

from __future__ import annotations

import math
import resource
import signal
import sys
from pathlib import Path

import duckdb
import msgspec

from appliance.api.control.query_order import QueryAnswer, QueryOrder
from storage.datasets import snapshot_files
from storage.duck import confine, open_duckdb, sql_list, sql_name
from storage.layout import Layout

CELL_LETTERS = 2_000
SPILL = "1GB"


def run(order: QueryOrder) -> QueryAnswer:
    """Run the query; an error of it is an answer."""
    layout = Layout(root=Path(order.state))
    files = {table.name: snapshot_files(layout, table.dataset, table.version) for table in order.tables}
    connection = open_duckdb(Path(order.tmp), memory=order.memory)
    try:
        connection.execute(f"SET max_temp_directory_size = '{SPILL}'")
        for name, own in files.items():
            read = f"read_parquet({sql_list(own)}, union_by_name = true, hive_partitioning = false)"
            connection.execute(f"CREATE VIEW {sql_name(name)} AS SELECT * FROM {read}")  # noqa: S608  (quoted)
        confine(connection, [Path(file) for own in files.values() for file in own])
        statements = connection.extract_statements(order.sql)
        # The allowed files could be written, too; a SELECT cannot.
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            return QueryAnswer(wrong="one SELECT statement is taken, and nothing that changes anything")
        found = connection.execute(statements[0])
        columns = tuple((str(entry[0]), str(entry[1])) for entry in found.description or ())
        rows = found.fetchmany(order.rows + 1)
    except duckdb.Error as exc:
        return QueryAnswer(wrong=str(exc).split("\n\nStack Trace", maxsplit=1)[0])
    finally:
        connection.close()
    shown = tuple(tuple(_short(value) for value in row) for row in rows[: order.rows])
    return QueryAnswer(columns=columns, rows=shown, truncated=len(rows) > order.rows)


def _short(value: object) -> object:
    if value is None or isinstance(value, bool | int) or (isinstance(value, float) and math.isfinite(value)):
        return value  # JSON has no infinity and no NaN; null would say that nothing is there
    return str(value)[:CELL_LETTERS]


def main() -> None:
    """Read the order, limit oneself, answer."""
    order = msgspec.json.decode(sys.stdin.buffer.read(), type=QueryOrder)
    resource.setrlimit(resource.RLIMIT_CPU, (order.timeout_s, order.timeout_s + 1))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.alarm(order.timeout_s)  # its default action ends the process, also inside DuckDB
    sys.stdout.buffer.write(msgspec.json.encode(run(order)))


if __name__ == "__main__":
    main()
