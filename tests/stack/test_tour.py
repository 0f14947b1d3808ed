"""The README's tour by command and over HTTP, as a newcomer pastes it: each line runs and says what it promises."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys

import polars as pl
import pytest

from tests.stack.conftest import ROOT, Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

README = (ROOT / "README.md").read_text(encoding="utf-8")


def block(before: str) -> list[str]:
    """The lines of the first block of code behind these words."""
    found = re.search(rf"^{re.escape(before)}.*?^```\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)
    assert found is not None, before
    return found[1].splitlines()


def test_the_tour_runs(stack: Stack) -> None:
    commands = [one.strip() for line in block("The same by command") for one in line.split(";")]
    assert len(commands) > 5
    said = {}
    for command in commands:
        program, *words = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", "appliance.cli.main", *words], cwd=ROOT, env=stack.environment, check=False,
            capture_output=True, text=True,
        )  # fmt: skip
        assert (program, done.returncode) == ("appliance", 0), f"{command}: {done.stdout}{done.stderr}"
        said[" ".join(words[:2])] = done.stdout
    lines = block("And over HTTP")
    paths = {line.split()[1] for line in lines if line.startswith("POST")}
    paths |= {path for line in lines if line.startswith("GET") for path in line.split()[1:]}
    with stack.http(said["key create"].strip()) as client:
        stack.until(lambda: client.get("/models/penguins").is_success)
        served = client.get("/openapi.json").json()["paths"]
        for path in paths - {"/docs", "/openapi.json"}:
            assert {path, path.replace("penguins", "{model}")} & set(served), path
        row = pl.read_csv(ROOT / "tests" / "data" / "penguins.csv", null_values="NA").drop("species").row(0, named=True)
        answer = client.post("/models/penguins/predict", json={"rows": [row], "explain": 3})
        (prediction,) = answer.json()["predictions"]
        assert set(prediction) >= {"label", "probabilities", "flags", "reasons", "id"}
        told = {"labels": [{"id": prediction["id"], "label": "Gentoo"}]}
        answer = client.post("/models/penguins/labels", json=told)
        promised = next(line for line in lines if "/labels" in line).split("-> ")[1]
        assert f"{answer.status_code} {json.dumps(answer.json(), separators=(',', ':'))}" == promised
