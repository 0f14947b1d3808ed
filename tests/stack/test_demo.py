"""The demo on a running appliance: a real year of traffic, real drift, a falling quality, and a better champion."""

from __future__ import annotations

import json
import stat
import subprocess

import pytest

from tests.stack.conftest import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

REPLAYED = 8734
"""Hours of 2012 in the data."""


def test_the_demo_trains_serves_drifts_and_retrains(stack: Stack) -> None:
    stack.run("demo")

    versions = {version["version"]: version for version in stack.json("versions", "bike-demand")["versions"]}
    assert set(versions) == {1, 2}
    first, second = versions[1], versions[2]
    assert second["gate"]["passed"]
    assert second["alias"] == "champion"
    assert second["metrics"]["rmse"] < second["champion"]["rmse"]
    assert first["metrics"]["rmse"] < first["baseline"]["rmse"]

    latency = stack.json("latency", "bike-demand")
    assert latency["count"] == REPLAYED
    assert latency["errors"] == 0
    assert set(latency["by_version"]) == {"1", "2"}

    quality = stack.json("quality", "bike-demand", "--window", "400d")
    assert quality["labelled"] > 0
    assert quality["coverage"] == 1.0

    drift = stack.json("drift", "bike-demand", "--window", "30d")
    states = {column["name"]: column["state"] for column in drift["columns"]}
    assert states["season"] == "alarm"
    moved = next(column for column in drift["columns"] if column["name"] == "season")
    assert moved["psi"] > moved["noise_floor"]

    stack.until(lambda: {"drift", "quality"} <= {alert["subject"] for alert in stack.json("alerts")["alerts"]})

    key = stack.state / "demo-key"
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    again = stack.run("demo")
    assert len(stack.json("versions", "bike-demand")["versions"]) == 2
    curl = next(line for line in again.stdout.splitlines() if line.strip().startswith("curl "))
    answer = subprocess.run(["sh", "-c", curl], capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout)["predictions"][0]["value"] > 0
