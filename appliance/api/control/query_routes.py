"""SQL over datasets: one SELECT, read-only, in a child process that is bounded in time, memory, rows and files."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import threading
import time
from typing import Any

import msgspec
from litestar import post
from litestar.di import NamedDependency
from litestar.params import JSONBody

from appliance.api.control.query_order import QueryAnswer, QueryOrder, QueryTable
from appliance.errors import BadInput, NotReady
from appliance.house import Appliance
from storage.datasets import get_snapshot, list_datasets
from storage.errors import StateUnwritable

MOST_ROWS = 1000
TIMEOUT_S = 20
MEMORY = "512MB"
MOST_AT_ONCE = 2
MOST_LETTERS = 20_000

_SLOTS = threading.BoundedSemaphore(MOST_AT_ONCE)


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A question in SQL.

    Attributes:
        sql: One SELECT in DuckDB's dialect. Every dataset is a table under its name, at its newest version.
        dataset: This one is the table ``source``, too.
        version: Which version of it ``source`` is; the newest without.
        rows: Most rows of the answer, 1 to 1000.
    """

    sql: str
    dataset: str | None = None
    version: int | None = None
    rows: int = 100


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The answer: ``columns`` are names and DuckDB types; ``truncated`` when there were more rows.

    A cell that JSON has no word for is text: ``inf``, ``-inf``, ``nan``, times, decimals, lists.
    """

    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Any, ...], ...]
    truncated: bool
    seconds: float


@post("/query", status_code=200, sync_to_thread=True)
def query(appliance: NamedDependency[Appliance], data: JSONBody[Query]) -> Found:
    """Run one SELECT over the datasets; nothing is changed by it."""
    return run_query(appliance, data)


def run_query(appliance: Appliance, asked: Query) -> Found:
    """Run it and wait for its end.

    Raises:
        BadInput: The SQL is wrong, changes something, or took too long or too much memory; says which.
        NotFound: No such dataset or version.
        NotReady: As many queries as may run at once run already.
        StateUnwritable: There is no room for the spill.
    """
    if not asked.sql.strip() or len(asked.sql) > MOST_LETTERS:
        raise BadInput(f"the query is empty or longer than {MOST_LETTERS:,} letters; send one SELECT")
    if not 1 <= asked.rows <= MOST_ROWS:
        raise BadInput(f"rows is {asked.rows}; accepted: 1 to {MOST_ROWS}")
    tables = _tables(appliance, asked)
    if not _SLOTS.acquire(blocking=False):
        raise NotReady(f"{MOST_AT_ONCE} queries run already; ask again in a moment")
    began = time.monotonic()
    try:
        answer = _in_child(appliance, asked, tables)
    finally:
        _SLOTS.release()
    if answer.wrong:
        raise BadInput(answer.wrong)
    return Found(
        columns=answer.columns, rows=answer.rows, truncated=answer.truncated,
        seconds=round(time.monotonic() - began, 3),
    )  # fmt: skip


def _tables(appliance: Appliance, asked: Query) -> tuple[QueryTable, ...]:
    """``source``, and the datasets that the query names: to open every one would take long where there are many."""
    layout = appliance.settings.layout
    tables: list[QueryTable] = []
    if asked.dataset is not None:
        version = appliance.datasets.show(asked.dataset, asked.version).version
        tables.append(QueryTable(name="source", dataset=asked.dataset, version=version))
    named = [name for name in list_datasets(layout) if name in asked.sql and name != "source"]
    tables += [QueryTable(name=name, dataset=name, version=get_snapshot(layout, name).version) for name in named]
    return tuple(tables)


def _in_child(appliance: Appliance, asked: Query, tables: tuple[QueryTable, ...]) -> QueryAnswer:
    layout = appliance.settings.layout
    try:
        with tempfile.TemporaryDirectory(prefix="query-", dir=layout.tmp) as tmp:
            order = QueryOrder(
                sql=asked.sql,
                tables=tables,
                state=str(layout.root),
                tmp=tmp,
                memory=MEMORY,
                rows=asked.rows,
                timeout_s=TIMEOUT_S,
            )
            done = subprocess.run(
                [sys.executable, "-P", "-m", "appliance.api.control.query_child"], input=msgspec.json.encode(order),
                capture_output=True, timeout=TIMEOUT_S + 5, check=False,
                # Nothing of the dashboard's own environment: settings may hold passwords.
                env={name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ},
            )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise _too_long() from None
    except OSError as exc:
        raise StateUnwritable(f"cannot run a query below {layout.tmp}: {exc.strerror}") from exc
    if done.returncode < 0:
        raise _too_long()
    try:
        return msgspec.json.decode(done.stdout, type=QueryAnswer)
    except msgspec.DecodeError:
        told = done.stderr.decode(errors="replace").strip().rsplit("\n", 1)[-1][:300]
        raise NotReady(f"the query's process ended with {done.returncode}: {told}") from None


def _too_long() -> BadInput:
    return BadInput(f"the query was ended after {TIMEOUT_S} s; ask for less, or look at fewer rows")


QUERY_ROUTES = (query,)
