"""Rows of a real Postgres server."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from datetime import UTC, date, datetime

import adbc_driver_postgresql.dbapi as adbc
import pytest

from storage.columns import ColumnInfo, Dtype
from storage.errors import SourceUnreadable
from storage.passing import may_pass
from tests.storage.desk import Desk
from tests.storage.postgres import Postgres, find_programs, run_postgres

TABLE = """
CREATE TABLE sales (
    id bigint, small smallint, price numeric(10, 2), weight double precision, shop text, day date,
    at timestamptz, naive timestamp, sold boolean, tags text[], detail jsonb, key uuid, raw bytea
)
"""
ROWS = """
INSERT INTO sales VALUES
(1, 2, 3.50, 0.1, 'Rome', '2026-01-31', '2026-01-31 10:00:00+02', '2026-01-31 10:00:00', true, '{a,b}', '{"k": 1}',
 '00000000-0000-0000-0000-000000000001', '\\x00ff'),
(2, NULL, 'NaN', 'NaN', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL)
"""


@pytest.fixture(scope="module")
def postgres() -> Iterator[Postgres]:
    programs = find_programs()
    if programs is None:
        pytest.skip("needs the package postgresql")
    with run_postgres(programs) as server:
        with adbc.connect(server.url) as connection, connection.cursor() as cursor:
            many = "CREATE TABLE many AS SELECT i, i * 0.5::float8 AS x FROM generate_series(1, 300000) i"
            for statement in (TABLE, ROWS, many):
                cursor.execute(statement)
            connection.commit()
        yield server


def test_every_type_of_postgres_becomes_one_of_ours(desk: Desk, postgres: Postgres) -> None:
    rows = desk.read(postgres.url, "SELECT * FROM sales ORDER BY id")
    at, naive = datetime(2026, 1, 31, 8, tzinfo=UTC), datetime(2026, 1, 31, 10, tzinfo=UTC)
    first = rows.row(0, named=True)
    assert {name: first[name] for name in ("id", "small", "price", "weight", "shop", "day", "at", "naive", "sold")} == {
        "id": 1, "small": 2, "price": 3.5, "weight": 0.1, "shop": "Rome", "day": date(2026, 1, 31), "at": at,
        "naive": naive, "sold": True,
    }  # fmt: skip
    assert (first["tags"], first["detail"]) == ('["a", "b"]', '{"k": 1}')
    assert isinstance(first["key"], str)
    assert rows.row(1) == (2, *[None] * 12)


def test_a_numeric_that_a_float_would_round_is_refused_and_the_way_out_works(desk: Desk, postgres: Postgres) -> None:
    with pytest.raises(SourceUnreadable, match="column 'id' has the number 12345678901234567891, which a float would"):
        desk.read(postgres.url, "SELECT 12345678901234567891::numeric AS id")
    found = desk.read(postgres.url, "SELECT CAST(12345678901234567891::numeric AS TEXT) AS id, 1::numeric / 3 AS third")
    assert found.rows() == [("12345678901234567891", 1 / 3)]
    assert desk.read(postgres.url, "SELECT sum(i::bigint) AS s FROM many").rows() == [(45_000_150_000.0,)]


def test_a_numeric_of_a_column_that_is_text_keeps_its_digits(desk: Desk, postgres: Postgres) -> None:
    query = "SELECT 12345678901234567891::numeric AS id, 1.10::numeric(20, 2) AS price, 'a'::text AS shop"
    like = tuple(ColumnInfo(name=name, dtype=Dtype.STRING) for name in ("id", "shop"))
    assert desk.read(postgres.url, query, like).rows() == [("12345678901234567891", 1.1, "a")]


def test_the_fingerprint_is_of_the_rows(desk: Desk, postgres: Postgres) -> None:
    desk.read(postgres.url, "SELECT id FROM sales ORDER BY id")
    first = desk.sha256
    desk.read(postgres.url, "SELECT id FROM sales ORDER BY id")
    assert desk.sha256 == first
    desk.read(postgres.url, "SELECT id FROM sales WHERE id = 1")
    assert desk.sha256 != first


def test_many_rows_come_whole_and_are_prepared(desk: Desk, postgres: Postgres) -> None:
    assert desk.read(postgres.url, "SELECT * FROM many").height == 300_000
    found = desk.read(postgres.url, "SELECT * FROM many", prepare="SELECT count(*) AS n, sum(x) AS s FROM source")
    assert found.rows() == [(300_000, 22_500_075_000.0)]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        (None, r"is a Postgres database: say with a query \(--query\) which rows to take"),
        ("SELECT * FROM nope", r'cannot be run on postgresql://ann@127.*relation "nope" does not exist'),
        ("SELEC 1", r'syntax error at or near "SELEC"'),
        ("DROP TABLE sales", r"cannot execute DROP TABLE in a read-only transaction|must be one SELECT"),
        ("WITH gone AS (DELETE FROM sales RETURNING id) SELECT * FROM gone", r"read-only transaction|data-modifying"),
        ("SELECT 1 AS a; SELECT 2 AS a", r"cannot insert multiple commands"),
        ("SELECT id, id FROM sales", r"the column name 'id' stands twice"),
        ("SELECT 1 / (id - 2) AS x FROM sales", r"division by zero"),
    ],
)
def test_a_query_that_is_wrong_or_writes_is_refused(
    desk: Desk, postgres: Postgres, query: str | None, message: str
) -> None:
    with pytest.raises(SourceUnreadable, match=message) as told:
        desk.read(postgres.url, query)
    assert "geheim" not in str(told.value)
    assert desk.read(postgres.url, "SELECT count(*) AS n FROM sales").rows() == [(2,)]


def test_a_server_that_refuses_or_is_not_there(desk: Desk, postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SourceUnreadable, match=r"password authentication failed") as refused:
        desk.read(postgres.url.replace("geheim", "falsch"), "SELECT 1 AS a")
    assert not may_pass(refused.value)
    monkeypatch.setenv("PGPASSWORD", "geheim")
    assert desk.read(postgres.url.replace(":geheim", ""), "SELECT 1 AS a").rows() == [(1,)]
    with pytest.raises(SourceUnreadable, match=r"Connection refused") as nobody:
        desk.read("postgresql://ann@127.0.0.1:1/postgres", "SELECT 1 AS a")
    assert may_pass(nobody.value)


@pytest.mark.parametrize(
    ("query", "passes"),
    [("SELECT pg_terminate_backend(pg_backend_pid())::int AS a", True), ("SELECT 1 / 0 AS a", False)],
)
def test_a_session_that_the_server_ends_may_be_tried_again(
    desk: Desk, postgres: Postgres, query: str, *, passes: bool
) -> None:
    with pytest.raises(SourceUnreadable) as told:
        desk.read(postgres.url, query)
    assert may_pass(told.value) is passes


def test_without_the_extra_its_name_is_said(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "adbc_driver_postgresql.dbapi", None)
    with pytest.raises(
        SourceUnreadable,
        match=r"needs the extra 'postgres' .*run the installer again with \./install\.sh --with postgres",
    ):
        desk.read("postgresql://ann@127.0.0.1:1/postgres", "SELECT 1 AS a")


def test_the_server_does_not_run_as_root(postgres: Postgres) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root has to step down; the others run the server as themselves")
    assert (postgres.log.parent / "data").owner() == "nobody"
