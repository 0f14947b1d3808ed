"""SQL over datasets: what it answers, and everything it must not be able to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.api.control import query_routes
from storage.datasets import snapshot_files
from tests.api.control.conftest import Control


@pytest.fixture
def table(control: Control, tmp_path: Path) -> Control:
    file = tmp_path / "penguins.csv"
    file.write_text("name,mass\nAda,3.5\nBea,\nCleo,4.5\n")
    control.appliance.datasets.add("penguins", str(file), who="test")
    file.write_text("name,mass,age\nDora,9.0,3\n")
    control.appliance.datasets.add("other-one", str(file), who="test")
    return control


def ask(control: Control, sql: str, status: int = 200, **more: object) -> dict[str, object]:
    response = control.client.post("/query", json={"sql": sql, **more}, headers=control.admin)
    assert response.status_code == status, response.text
    answer = response.json()
    assert isinstance(answer, dict)
    return answer


def test_a_select_is_answered(table: Control) -> None:
    found = ask(table, "SELECT name, mass FROM source ORDER BY name", dataset="penguins")
    assert found["columns"] == [["name", "VARCHAR"], ["mass", "DOUBLE"]]
    assert found["rows"] == [["Ada", 3.5], ["Bea", None], ["Cleo", 4.5]]
    assert found["truncated"] is False


def test_what_is_no_finite_number_is_told_apart_from_what_is_missing(table: Control) -> None:
    found = ask(table, "SELECT 'inf'::DOUBLE AS a, '-inf'::FLOAT AS b, 'nan'::DOUBLE AS c, NULL::DOUBLE AS d, 1.5 AS e")
    assert found["rows"] == [["inf", "-inf", "nan", None, "1.5"]]


def test_datasets_are_tables_under_their_names(table: Control) -> None:
    found = ask(table, 'SELECT count(*) FROM penguins, "other-one"')
    assert found["rows"] == [[3]]


def test_more_rows_than_asked_for_are_cut_and_said_so(table: Control) -> None:
    found = ask(table, "SELECT * FROM range(100000)", rows=5)
    assert found["rows"] == [[0], [1], [2], [3], [4]]
    assert found["truncated"] is True


def test_an_old_version_can_be_asked(table: Control, tmp_path: Path) -> None:
    file = tmp_path / "more.csv"
    file.write_text("name,mass\nZoe,1.0\n")
    table.appliance.datasets.add("penguins", str(file), who="test")
    counted = "SELECT count(*) FROM source"
    assert ask(table, counted, dataset="penguins")["rows"] == [[1]]
    assert ask(table, counted, dataset="penguins", version=1)["rows"] == [[3]]
    assert "9" in str(ask(table, counted, 404, dataset="penguins", version=9)["detail"])


@pytest.mark.parametrize(
    "sql",
    [
        "COPY source TO '{file}'", "COPY (SELECT 1) TO '{new}'", "DROP VIEW source", "CREATE TABLE t (x INT)",
        "ATTACH '{new}' AS d", "INSTALL httpfs", "SET memory_limit = '10GB'", "SELECT 1; SELECT 2", "",
        "EXPORT DATABASE '{new}'", "PRAGMA database_list", "CALL pragma_version()",
    ],
)  # fmt: skip
def test_whatever_is_no_select_is_refused(table: Control, tmp_path: Path, sql: str) -> None:
    (file,) = snapshot_files(table.appliance.settings.layout, "penguins", 1)
    before = Path(file).read_bytes()
    ask(table, sql.format(file=file, new=tmp_path / "new"), 422, dataset="penguins")
    assert Path(file).read_bytes() == before
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_text('{secret}')", "SELECT * FROM read_csv('{secret}')", "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM '{secret}'", "SELECT getenv('HOME')", "SELECT * FROM read_parquet('http://127.0.0.1:1/x')",
        "SELECT * FROM nothing", "SELEC 1",
    ],
)  # fmt: skip
def test_no_other_file_is_read_and_what_is_wrong_is_said(table: Control, tmp_path: Path, sql: str) -> None:
    secret = table.appliance.settings.layout.secret
    answer = ask(table, sql.format(secret=secret), 422, dataset="penguins")
    assert answer["detail"]


def test_a_query_that_takes_too_long_is_ended(table: Control, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_routes, "TIMEOUT_S", 2)
    endless = "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE (a.range * b.range) % 7 = 3"
    assert "ended after 2 s" in str(ask(table, endless, 422)["detail"])
    assert list(table.appliance.settings.layout.tmp.glob("query-*")) == []
    assert ask(table, "SELECT 1")["rows"] == [[1]]


def test_memory_is_bounded(table: Control) -> None:
    hungry = "SELECT list(x) FROM (SELECT range::VARCHAR || repeat('x', 500) AS x FROM range(5000000))"
    assert ask(table, hungry, 422)["detail"]


def test_rows_are_bounded_and_viewers_do_not_ask(table: Control) -> None:
    ask(table, "SELECT 1", 422, rows=0)
    ask(table, "SELECT 1", 422, rows=1001)
    ask(table, "SELECT 1", 400, limit=5)
    refused = table.client.post("/query", json={"sql": "SELECT 1"}, headers=table.read)
    assert refused.status_code == 403


def test_no_more_than_two_at_once(table: Control) -> None:
    for _ in range(query_routes.MOST_AT_ONCE):
        query_routes._SLOTS.acquire()
    try:
        assert "run already" in str(ask(table, "SELECT 1", 503)["detail"])
    finally:
        for _ in range(query_routes.MOST_AT_ONCE):
            query_routes._SLOTS.release()
