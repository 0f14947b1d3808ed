"""Files that the command line sends and fetches: labels of any table, and results that get where they were wanted."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import httpx
import polars as pl
import pytest

from appliance.cli.jobs import _find_way
from appliance.cli.labels import _post, _read_labels
from appliance.errors import BadInput
from appliance.house import open_appliance
from appliance.jobs import JobState
from appliance.schema import Task
from appliance.settings import Settings
from tests.cli.shell import Shell
from tests.model_bundles import deploy, numeric_columns, prepare_state, publish, train_model
from tests.served_api import serve_api


def test_labels_are_numbers_whatever_type_a_table_gives_them(tmp_path: Path) -> None:
    house = open_appliance(Settings(state=prepare_state(tmp_path / "state").root))
    frames = {
        "decimal": pl.Series("label", [Decimal("12.50"), None, Decimal("3.00"), Decimal("7.25")]),
        "float": pl.Series("label", [12.5, float("nan"), 3.0, 7.25]),
    }
    for name, labels in frames.items():
        file = tmp_path / f"{name}.parquet"
        pl.DataFrame({"id": ["a.0", "b.0", "c.0", "d.0"], "label": labels}).write_parquet(file)
        assert list(_read_labels(house, file)) == [
            (1, {"id": "a.0", "label": 12.5}), (3, {"id": "c.0", "label": 3}), (4, {"id": "d.0", "label": 7.25}),
        ]  # fmt: skip
    house.close()


def test_a_refusal_says_which_rows_and_how_many_were_taken(tmp_path: Path) -> None:
    layout = prepare_state(tmp_path / "state")
    publish(layout, train_model("m", 1, task=Task.REGRESSION, columns=numeric_columns(3)))
    deploy(layout, {"m": 1})
    with serve_api(layout) as api, httpx.Client(base_url=api.client.base_url, headers={"x-api-key": api.key}) as client:
        api.wait_until_serving("m", 1)
        where = "of f.csv, rows 1,001 to 1,002; 1,000 before them are taken"
        with pytest.raises(BadInput, match=r"refused labels .4.*label.*; of f.csv, rows 1,001 to 1,002"):
            _post(client, "m", [{"id": "a.0", "label": "no number"}], where)


def test_where_a_result_cannot_be_written_is_said_before_the_work(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("x\n1\n")
    for out, says in (("nowhere/out.csv", "there is no folder"), ("out.xlsx", "must end in")):
        done = shell.run("predict", "m", str(tmp_path / "rows.csv"), "--out", str(tmp_path / out))
        assert (done.code, says in done.err) == (1, True)


def test_a_result_that_cannot_be_handed_over_stays_where_it_is(tmp_path: Path) -> None:
    settings = Settings(state=prepare_state(tmp_path / "state").root, systemd=True)
    house = open_appliance(settings)
    (tmp_path / "rows.csv").write_text("x\n1\n")
    way = _find_way(house, tmp_path / "rows.csv", tmp_path / "folder")
    assert (way.source.read_text(), way.source.is_relative_to(settings.layout.tmp)) == ("x\n1\n", True)
    way.sink.write_text("x,prediction\n1,2\n")
    way.out.mkdir()
    with pytest.raises(BadInput, match=r"is scored, but .*folder: Is a directory; it lies in .*/out for a day"):
        way.end(JobState.COMPLETED)
    assert way.sink.exists()
    way.out.rmdir()
    way.end(JobState.CRASHED)
    assert way.source.exists(), "which the same job needs, started again"
    way.end(JobState.COMPLETED)
    assert (way.out.read_text(), way.sink.exists()) == ("x,prediction\n1,2\n", False)
    house.close()
