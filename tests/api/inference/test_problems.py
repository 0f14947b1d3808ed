from __future__ import annotations

import inspect
import json
import subprocess
import sys
from types import ModuleType

import pytest

from appliance import errors as appliance_errors
from appliance.api.inference import errors as request_errors
from appliance.api.inference.problems import KINDS, error_member, kind_of, mlflow_error, native_problem
from appliance.errors import BadRow
from storage.errors import EventLogUnwritable, StorageError


def classes_of(module: ModuleType) -> list[type[Exception]]:
    return [found for _, found in inspect.getmembers(module, inspect.isclass) if issubclass(found, Exception)]


@pytest.mark.parametrize(
    "error", [*classes_of(appliance_errors), *classes_of(request_errors)], ids=lambda found: found.__name__
)
def test_every_error_is_in_the_table(error: type[Exception]) -> None:
    assert error in KINDS or error is request_errors.RequestError


def test_a_disk_that_is_full_is_told_from_one_that_is_broken() -> None:
    assert kind_of(EventLogUnwritable("the disk is full")).status == 507
    broken = EventLogUnwritable("x")
    broken.__cause__ = PermissionError(13, "denied")
    assert kind_of(broken).status == 503
    assert kind_of(StorageError("x")).status == 503


def test_an_error_nobody_foresaw_tells_nothing_of_itself() -> None:
    for refuse in (native_problem, error_member, mlflow_error):
        refusal = refuse(ValueError("secret row"), "id-1")
        assert refusal.status == 500
        assert b"secret" not in refusal.body


def test_a_bad_row_names_its_field() -> None:
    error = BadRow(row=2, field="a", found="null", accepted="a number")
    problem = json.loads(native_problem(error, "id-1").body)
    assert {key: problem[key] for key in ("row", "field", "found", "accepted", "request_id", "status")} == {
        "row": 2, "field": "a", "found": "null", "accepted": "a number", "request_id": "id-1", "status": 422,
    }  # fmt: skip
    assert error_member(error, "id-1").status == 400


def test_the_process_imports_nothing_heavy() -> None:
    heavy = {
        "pandas",
        "polars",
        "lightgbm",
        "mlflow",
        "pydantic",
        "sqlite_utils",
        "duckdb",
        "scipy",
        "pyarrow",
        "deltalake",
    }
    command = "import sys, appliance.api.inference.process, appliance.api.inference.app; print(' '.join(sys.modules))"
    found = subprocess.run([sys.executable, "-c", command], check=True, capture_output=True, text=True).stdout.split()
    assert not heavy & set(found)


def test_mlflows_codes_are_those_that_mlflow_gives_the_same_status() -> None:
    from mlflow.exceptions import ERROR_CODE_TO_HTTP_STATUS

    for error in KINDS:
        exc = error.__new__(error)  # whatever its own constructor takes
        vars(exc).update(allowed=(), retry_after_s=1)
        refusal = mlflow_error(exc, "id-1")
        code = json.loads(refusal.body)["error_code"]
        if code != "BAD_REQUEST":
            assert ERROR_CODE_TO_HTTP_STATUS[code] == refusal.status, error
        else:
            assert 400 <= refusal.status < 500, error
