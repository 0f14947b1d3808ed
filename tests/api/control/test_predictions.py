"""Files to be scored over HTTP, as far as no orchestrator is needed: what is refused at once, and what is had back."""

from __future__ import annotations

import os
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import polars as pl
import pytest

from appliance.errors import BadInput
from appliance.model_card import PredictionReport
from appliance.retention import SCRATCH_S, Retention
from appliance.scored_files import drop_scored, require_columns
from storage.progress_rows import ProgressRow, put_progress, put_result
from storage.statedb import connect
from tests.api.control.conftest import Control
from tests.api.control.test_datasets import upload, waiting
from tests.training.rows import made_up, spec
from tests.training.state import add, train_now


@pytest.fixture
def trained(control: Control) -> Control:
    add(control.appliance, "data", made_up())
    train_now(control.appliance, spec("on"))
    return control


def result_of(control: Control, out: Path) -> str:
    """A job that has written there, as the flow tells it; its id."""
    job_id = str(uuid4())
    report = PredictionReport(model="m", version=1, rows=1, out=str(out), seconds=0.1, unseen={})
    with closing(connect(control.appliance.settings.layout.database)) as connection:
        put_progress(
            connection,
            ProgressRow(job_id=job_id, model="m", step="done", fraction=1.0, message="", updated_at=datetime.now(UTC)),
        )
        put_result(connection, job_id, msgspec.json.encode(report).decode())
    return job_id


def scored(control: Control) -> Path:
    out = control.appliance.settings.layout.tmp / f"scored-{uuid4().hex[:24]}" / "rows.predictions.csv"
    out.parent.mkdir()
    out.write_text("x,prediction\n1,2\n")
    return out


def test_what_does_not_fit_is_said_at_once_and_what_fits_waits_until_jobs_can_be_started(
    trained: Control, tmp_path: Path
) -> None:
    name, layout = spec("on").name, trained.appliance.settings.layout

    def ask(upload: str, key: dict[str, str], **more: str) -> tuple[int, str]:
        answer = trained.client.post(f"/models/{name}/predictions", headers=key, json={"upload": upload, **more})
        return answer.status_code, str(answer.json()["detail"])

    short = upload(trained, "rows.csv", made_up(20).drop("noise", "x").write_csv().encode())
    status, detail = ask(short, trained.admin)
    assert status == 422
    assert "lacks the column(s) x, noise" in detail
    fitting = upload(trained, "rows.csv", made_up(20).write_csv().encode())
    assert ask(fitting, trained.admin)[0] == 503  # no orchestrator runs here
    long = made_up(20).with_columns(pl.Series("ticket", [2**63 + row for row in range(20)], pl.UInt64))
    long.write_parquet(tmp_path / "rows.parquet")
    longer = upload(trained, "rows.parquet", (tmp_path / "rows.parquet").read_bytes())
    assert ask(longer, trained.admin)[0] == 503, "numbers that only a text holds are no reason to refuse it"
    assert {folder.name for folder in waiting(trained)} == {short, fitting, longer}
    assert ask(fitting, trained.read)[0] == 403
    for unknown in ("upload-" + "0" * 24, "../secret"):
        assert ask(unknown, trained.admin)[0] == 404
    assert ask(fitting, trained.admin, ending=".exe")[0] == 400
    with pytest.raises(BadInput, match="has column\\(s\\) prediction already"):
        require_columns(layout, name, 1, [*made_up(1).columns, "prediction"])


def test_the_result_is_had_back_under_its_name(control: Control) -> None:
    out = scored(control)
    answer = control.client.get(f"/jobs/{result_of(control, out)}/result", headers=control.read)
    assert answer.status_code == 200, answer.text
    assert answer.text == out.read_text()
    assert 'attachment; filename="rows.predictions.csv"' in answer.headers["content-disposition"]


def test_no_other_file_of_the_host_is_handed_out(control: Control, tmp_path: Path) -> None:
    layout = control.appliance.settings.layout
    elsewhere = tmp_path / "scored-" / "rows.csv"
    elsewhere.parent.mkdir()
    elsewhere.write_text("x")
    beside = layout.tmp / "upload-000000000000000000000000" / "rows.csv"
    beside.parent.mkdir()
    beside.write_text("x")
    climbing = layout.tmp / "scored-000000000000000000000000" / ".." / ".." / "secret"
    for out in (elsewhere, beside, climbing, layout.secret):
        answer = control.client.get(f"/jobs/{result_of(control, out)}/result", headers=control.admin)
        assert answer.status_code == 404, out
        drop_scored(layout, out)
        assert out.name == "secret" or out.exists()
    assert layout.secret.exists()


def test_a_result_goes_after_a_day_and_says_so(control: Control) -> None:
    out = scored(control)
    job_id = result_of(control, out)
    retention = Retention(control.appliance.settings)
    assert retention.plan() == []
    old = time.time() - SCRATCH_S - 60
    for path in (out, out.parent):
        os.utime(path, (old, old))
    assert [one.kind for one in retention.apply()] == ["scratch"]
    answer = control.client.get(f"/jobs/{job_id}/result", headers=control.read)
    assert answer.status_code == 404
    assert "kept for a day" in answer.json()["detail"]


def test_the_description_of_the_api_has_both(control: Control) -> None:
    paths = control.client.get("/schema", headers=control.read).json()["paths"]
    order = paths["/models/{name}/predictions"]["post"]
    assert "ScoreFile" in str(order["requestBody"])
    assert "get" in paths["/jobs/{job_id}/result"]
