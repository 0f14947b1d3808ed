"""Regression, binary and multiclass: each goes from a file to a watched model, by command and over HTTP alone."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from tests.stack.conftest import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One data set and what a model of it must reach."""

    name: str
    file: Path
    target: str
    exclude: tuple[str, ...]
    task: str
    metric: str
    at_least: float | None = None
    at_most: float | None = None


CASES = [
    Case(
        name="bikes", file=ROOT / "appliance/demo/data/bike_sharing_hourly.parquet", target="cnt",
        exclude=("casual", "registered", "dteday"), task="regression", metric="rmse", at_most=150.0,
    ),
    Case(
        name="income", file=ROOT / "tests/data/adult.parquet", target="income",
        exclude=("split",), task="binary", metric="auc", at_least=0.92,
    ),
    Case(
        name="penguins", file=ROOT / "tests/data/penguins.csv", target="species",
        exclude=(), task="multiclass", metric="accuracy", at_least=0.93,
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_file_becomes_a_watched_model(stack: Stack, case: Case) -> None:
    added = stack.json("data", "add", case.name, str(case.file))
    frame = pl.read_csv(case.file, null_values="NA") if case.file.suffix == ".csv" else pl.read_parquet(case.file)
    assert (added["dataset"], added["version"], added["rows"]) == (case.name, 1, frame.height)

    exclude = [word for column in case.exclude for word in ("--exclude", column)]
    stack.run("model", "create", case.name, "--dataset", case.name, "--target", case.target, *exclude)
    trained = stack.json("train", case.name, "--wait")
    assert set(trained) >= {
        "model", "version", "run_id", "task", "rows", "seconds", "metrics", "baseline", "champion", "gate",
    }  # fmt: skip
    assert set(trained["gate"]) >= {"passed", "reasons"}
    assert trained["task"] == case.task
    assert trained["version"] == 1
    assert trained["gate"]["passed"], trained["gate"]
    assert trained["champion"] is None
    assert set(trained["metrics"]) >= {case.metric}
    assert set(trained["baseline"]) >= {case.metric}
    if case.at_least is not None:
        assert trained["metrics"][case.metric] >= case.at_least > trained["baseline"][case.metric]
    if case.at_most is not None:
        assert trained["metrics"][case.metric] <= case.at_most < trained["baseline"][case.metric]

    stack.run("deploy", case.name)
    rows = frame.filter(pl.col(case.target).is_not_null()).sample(120, seed=1, shuffle=True)
    predict_and_label(stack, case, rows)

    quality = stack.json("quality", case.name)
    assert set(quality) >= {"window", "labelled", "coverage", "metrics", "reference", "estimate", "mature"}
    assert quality["labelled"] == rows.height
    assert quality["coverage"] == 1.0
    assert quality["mature"]
    assert case.metric in quality["metrics"]
    latency = stack.json("latency", case.name)
    assert (latency["count"], latency["errors"], set(latency["by_version"])) == (rows.height, 0, {"1"})
    assert 0 < latency["p50_us"] <= latency["p95_us"] <= latency["p99_us"] <= latency["max_us"]
    drift = stack.json("drift", case.name)
    inputs = {column["name"] for column in drift["columns"]}
    assert inputs >= set(frame.columns) - {case.target, *case.exclude, "ts"}
    assert {column["state"] for column in drift["columns"]} <= {"ok", "warn", "alarm", "not_enough_data"}
    assert set(drift["window"]) == {"from", "to"}

    scored = stack.state.parent / f"{case.name}.csv"
    stack.run("predict", case.name, str(case.file), "--out", str(scored))
    answers = pl.read_csv(scored, infer_schema=False)
    classes = [name for name in answers.columns if name.startswith("probability_")]
    assert answers.columns == [*frame.columns, "prediction", *classes]
    assert len(classes) == {"regression": 0, "binary": 2, "multiclass": 3}[case.task]
    assert answers.height == frame.height


def predict_and_label(stack: Stack, case: Case, rows: pl.DataFrame) -> None:
    """Send each row as a request of its own, then all labels, and wait until both are counted."""
    key = stack.json("key", "create", f"{case.name}-test", "--scope", "predict,label,read")["key"]
    with stack.http(key) as client:
        stack.until(lambda: client.get(f"/models/{case.name}").is_success)
        schema = client.get(f"/models/{case.name}").json()["schema"]
        inputs = [column["name"] for column in schema]
        labels: list[dict[str, Any]] = []
        for row in rows.iter_rows(named=True):
            answer = client.post(f"/models/{case.name}/predict", json={"rows": [{name: row[name] for name in inputs}]})
            assert answer.status_code == 200, answer.text
            labels.append({"id": answer.json()["predictions"][0]["id"], "label": row[case.target]})
        answer = client.post(f"/models/{case.name}/labels", json={"labels": labels})
        assert answer.status_code == 202, answer.text
        assert answer.json() == {"accepted": len(labels), "unknown": []}
    stack.until(lambda: bool(stack.json("quality", case.name)["labelled"] == rows.height))
