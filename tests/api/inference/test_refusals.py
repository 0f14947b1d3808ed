"""What is deployed and cannot be served: the old version goes on, people are told, and it ends when it is mended."""

from __future__ import annotations

import _ctypes
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.monitoring.watch import Watch, watch_once
from appliance.schema import Task
from appliance.serving.refusals import Refusal, Refusals, forget_workers, read_refusals
from storage.alert_rows import AlertRow, list_alerts
from storage.bundles import bundle_path, replace_durably
from storage.layout import Layout
from tests.api.inference.test_lifecycle import start_in_vain, wait_for, watching
from tests.model_bundles import TrainedModel, deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import serve_api

COLUMNS = numeric_columns(3)
ROWS = sample_rows(COLUMNS, 1)


@pytest.fixture(scope="module")
def versions() -> list[TrainedModel]:
    return [train_model("m", version, task=Task.REGRESSION, columns=COLUMNS) for version in (1, 2, 3)]


@pytest.fixture
def layout(tmp_path: Path, versions: list[TrainedModel]) -> Layout:
    found = prepare_state(tmp_path / "state")
    for trained in versions:
        publish(found, trained)
    deploy(found, {"m": 1})
    return found


def bundle_alerts(watch: Watch) -> list[AlertRow]:
    """Open ones; the bundles here have no reference, which another alert tells."""
    return [one for one in list_alerts(watch.connection, open_only=True) if one.subject == "bundle"]


def test_a_corrupt_bundle_leaves_the_old_version_serving_and_is_seen(layout: Layout) -> None:
    path = bundle_path(layout, "m", 2) / "model.txt"
    path.write_bytes(path.read_bytes().replace(b"leaf_value", b"leaf_velue"))
    with serve_api(layout) as api:
        api.wait_until_serving("m", 1)
        deploy(layout, {"m": 2}, revision=2)

        def state() -> dict[str, Any]:
            return api.client.get("/health/ready").json()["models"][0]  # type: ignore[no-any-return]

        wait_for(lambda: state()["state"] == "behind")
        assert (state()["version"], state()["deployed"]) == (1, 2)
        assert "differs from its manifest" in state()["reason"]
        assert 'appliance_bundle_refused{model="m",version="2",role="champion"} 1.0' in api.client.get("/metrics").text
        assert api.client.post("/models/m/predict", json={"rows": ROWS}).json()["version"] == 1
        index = api.client.post("/v2/repository/index").json()
        assert [(found["version"], found["state"]) for found in index] == [("1", "READY"), ("2", "UNAVAILABLE")]
        with watching(layout) as watch:
            watch_once(watch)
            (alert,) = bundle_alerts(watch)
            assert (alert.model, alert.subject, alert.state) == ("m", "bundle", "alarm")
            assert alert.message.startswith("Version 2 was deployed and refused. Version 1 goes on serving. ")
            assert "differs from its manifest" in alert.message
            assert watch_once(watch).alerts == 0
            deploy(layout, {"m": 3}, revision=3)
            api.wait_until_serving("m", 3)
            assert state()["state"] == "ready"
            wait_for(lambda: watch_once(watch).alerts == 1)
            assert bundle_alerts(watch) == []


def test_refusals_are_alerted_one_a_model_until_they_end(layout: Layout) -> None:
    """A canary, a shadow, a champion after another, deployments that cannot be read; and the bundle that is mended."""
    path = bundle_path(layout, "m", 2) / "model.txt"
    whole = path.read_bytes()
    path.write_bytes(b"tree\n")

    def deploy_roles(**roles: int) -> None:
        replace_durably(layout.deployments, msgspec.json.encode({"revision": 2, "models": {"m": roles}}))

    with serve_api(layout, {"APPLIANCE_API_WORKERS": "2"}) as api, watching(layout) as watch:
        api.wait_until_serving("m", 1)

        def alert_becomes(state: str, words: str) -> None:
            def is_there() -> bool:
                watch_once(watch)
                found = list_alerts(watch.connection, open_only=True)
                return any(one.state == state and words in one.message for one in found)

            wait_for(is_there)

        deploy_roles(champion=1, canary=2, percent=10)
        alert_becomes("warn", "Version 2 was deployed as canary and refused. Version 1 goes on serving all requests.")

        def shown() -> dict[str, Any]:
            return api.client.get("/health/ready").json()["models"][0]  # type: ignore[no-any-return]

        def refuses_the_canary() -> bool:
            found = shown()
            return (found["state"], found.get("canary", {}).get("state")) == ("ready", "refused")

        wait_for(refuses_the_canary)  # the other worker looks a moment later
        deploy_roles(champion=9, shadow=2)
        alert_becomes("alarm", "Version 9 was deployed and refused. Version 1 goes on serving. ")
        alert_becomes("alarm", "Version 2 was deployed as shadow")
        layout.deployments.write_bytes(b"{")
        alert_becomes("alarm", "Deployments cannot be followed")
        deploy_roles(champion=2)
        alert_becomes("alarm", "Version 2 was deployed and refused. Version 1 goes on serving. ")
        path.write_bytes(whole)
        api.wait_until_serving("m", 2)

        def is_quiet() -> bool:
            watch_once(watch)
            return not list_alerts(watch.connection, open_only=True)

        wait_for(is_quiet)


def test_a_refusal_that_could_not_be_written_is_told_later(layout: Layout) -> None:
    refusals = Refusals(layout, 0)
    layout.run.rmdir()
    layout.run.write_bytes(b"")  # no directory can be made here
    found = [Refusal(model="m", role="champion", version=2, serving=1, reason="it is damaged")]
    pending = []
    for free in (False, True):
        if free:
            layout.run.unlink()
        refusals.write(found)
        pending.append(refusals.pending)
    assert pending == [True, False]
    assert read_refusals(layout) == found


def test_refusals_of_workers_that_are_gone_are_forgotten(layout: Layout) -> None:
    found = [Refusal(model="m", role="champion", version=2, serving=1, reason="it is damaged")]
    for worker in range(3):
        Refusals(layout, worker).write(found)
    (layout.run / "api-refusals" / "1.json").write_bytes(b'[{"torn')
    assert read_refusals(layout) == found
    forget_workers(layout, beyond=0)
    assert read_refusals(layout) == []


def test_a_lightgbm_with_another_c_api_is_refused_with_its_missing_symbols(layout: Layout, tmp_path: Path) -> None:
    """Another shared library in the place of LightGBM's, as a release that renamed its functions would be."""
    package = tmp_path / "other" / "lightgbm"
    (package / "lib").mkdir(parents=True)
    (package / "__init__.py").write_bytes(b"")
    shutil.copy(_ctypes.__file__, package / "lib" / "lib_lightgbm.so")
    said = start_in_vain(layout, PYTHONPATH=os.pathsep.join([str(package.parent), *sys.path]))
    assert "lacks LGBM_GetLastError, " in said
    assert "this LightGBM has another C API; install release 4.7" in said
