from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from storage.duck import confine, open_duckdb, sql_list, sql_name, sql_text
from storage.errors import StateUnwritable


def test_a_query_larger_than_the_memory_spills_below_tmp(tmp_path: Path) -> None:
    with open_duckdb(tmp_path, memory="60MB") as connection:
        sql = "SELECT count(*) FROM (SELECT DISTINCT hash(range) AS h, range::VARCHAR AS t FROM range(1500000))"
        assert connection.execute(sql).fetchone() == (1_500_000,)
        assert (tmp_path / "duckdb").is_dir()
    assert list((tmp_path / "duckdb").glob("*")) == []


def test_a_setting_that_duckdb_refuses_is_said(tmp_path: Path) -> None:
    with pytest.raises(StateUnwritable, match=r"cannot open DuckDB with memory limit much .*setting duckdb_memory"):
        open_duckdb(tmp_path, memory="much")


def test_extensions_are_not_downloaded(tmp_path: Path) -> None:
    with open_duckdb(tmp_path) as connection, pytest.raises(duckdb.Error):
        connection.execute("SELECT * FROM sqlite_scan('x.db', 't')")


def test_confined_sql_reads_the_named_files_and_changes_nothing(tmp_path: Path) -> None:
    mine, other = tmp_path / "mine.csv", tmp_path / "other.csv"
    for file in (mine, other):
        file.write_text("a\n1\n")
    with open_duckdb(tmp_path) as connection:
        confine(connection, [mine])
        assert connection.execute(f"FROM {sql_text(mine)}").fetchall() == [(1,)]
        for sql in (
            f"FROM {sql_text(other)}",
            f"COPY (SELECT 1) TO {sql_text(tmp_path / 'out.csv')}",
            f"ATTACH {sql_text(tmp_path / 'x.duckdb')}",
            "SET enable_external_access = true",
            "SET allowed_paths = ['/']",
            "INSTALL httpfs",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(sql)
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("name", ["plain", 'say "x"', "it's", "a]b", "--", "; DROP", "ü\n"])
def test_quoted_names_and_texts_come_back(tmp_path: Path, name: str) -> None:
    with open_duckdb(tmp_path) as connection:
        found = connection.sql(f"SELECT {sql_text(name)} AS {sql_name(name)}, {sql_list([name])} AS l")
        assert found.columns[0] == name
        assert found.fetchall() == [(name, [name])]
