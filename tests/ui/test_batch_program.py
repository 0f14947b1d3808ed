"""The program that scores a file, pasted as it stands and run on files as people have them."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.schema import Task
from appliance.trial import Value
from tests.model_bundles import MIXED_COLUMNS, deploy, prepare_state, publish, train_model
from tests.served_api import ServedApi, serve_api
from ui.programs import DIALECTS, Question, program

TRAINED = train_model("m", 1, task=Task.REGRESSION, columns=MIXED_COLUMNS)
NAMES = [column.name for column in MIXED_COLUMNS]
ROW: dict[str, Value] = dict(zip(NAMES, (0.5, 1.0, "ünï", "10", True, "2026-01-31T12:00:00Z"), strict=True))


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedApi]:
    layout = prepare_state(tmp_path_factory.mktemp("state"))
    publish(layout, TRAINED)
    deploy(layout, {"m": 1})
    with serve_api(layout) as served:
        yield served


def run(api: ServedApi, folder: Path, lines: list[list[str]]) -> subprocess.CompletedProcess[str]:
    """Run it on a file that Excel wrote as "CSV UTF-8"."""
    with (folder / "rows.csv").open("w", newline="", encoding="utf-8-sig") as target:
        csv.writer(target).writerows([NAMES, *lines])
    question = Question(api_url=api.url, model="m", schema=TRAINED.schema, row={}, key=api.key)
    command = [sys.executable, "-c", program(question, "native", "batch")]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=folder)


def test_numbers_are_read_as_files_write_them(api: ServedApi, tmp_path: Path) -> None:
    rest = ["ünï", "10", "True", "2026-01-31T12:00:00Z"]
    done = run(api, tmp_path, [[".5", "1e0", *rest], ["+0.5", "NA", *rest], [" 0.5", "", *rest]])
    assert done.returncode == 0, done.stderr
    with (tmp_path / "predictions.csv").open(newline="", encoding="utf-8") as source:
        answers = [float(row["prediction"]) for row in csv.DictReader(source)]
    missing = ROW | {NAMES[1]: None}
    assert answers == [found[0] for found in TRAINED.expect([ROW, missing, missing])]


def test_what_the_api_refuses_is_told_in_its_words(api: ServedApi, tmp_path: Path) -> None:
    done = run(api, tmp_path, [["1", "1", "L", "1", "True", "yesterday"]])
    assert done.returncode == 1
    assert "built_at" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("zone", [10, "10"])
def test_a_row_of_every_kind_is_answered_alike(api: ServedApi, dialect: str, zone: str | int) -> None:
    row: dict[str, Value] = ROW | {"zone": zone}
    question = Question(api_url=api.url, model="m", schema=TRAINED.schema, row=row, key=api.key)
    done = subprocess.run(
        ["bash", "-c", program(question, dialect, "curl")], capture_output=True, text=True, check=True, timeout=60
    )
    assert str(TRAINED.expect([ROW])[0][0]) in done.stdout
