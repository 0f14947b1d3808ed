"""One endpoint for a Prometheus: a real one scrapes it, promtool checks the rules, the dashboard asks what is there."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest
import uvicorn
from prometheus_client.parser import text_string_to_metric_families

from appliance.api.control.app import create_control_app
from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.sessions import Sessions
from appliance.house import Appliance, open_appliance, prepare_state
from appliance.monitoring.watch import Watch, watch_once
from appliance.processes.control import settings_environment
from appliance.processes.ledger import Ledger, ProcessEntry, write_ledger
from appliance.processes.procfs import find_start
from appliance.schema import Task
from appliance.settings import Settings, load_settings
from tests.model_bundles import MIXED_COLUMNS, deploy, publish, sample_rows, train_model
from tests.monitoring import traffic
from tests.monitoring.test_estimates import publish_loans, replay_loans
from tests.served_api import ServedApi, free_port, serve_api

FOLDER = Path(__file__).parents[2] / "systemd" / "prometheus"
needs_prometheus = pytest.mark.skipif(shutil.which("promtool") is None, reason="Debian's package prometheus")


@pytest.fixture
def house(tmp_path: Path) -> Appliance:
    settings = Settings(state=tmp_path / "state", api_port=free_port(), ui_port=free_port())
    prepare_state(settings)
    publish_loans(settings)
    replay_loans(settings, days=3, labelled=2)
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()
    return open_appliance(settings)


def values(text: bytes) -> dict[tuple[str, str], float]:
    """``(name, labels in order)`` to the value."""
    return {
        (sample.name, ",".join(f"{key}={sample.labels[key]}" for key in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def test_figures_of_models_and_of_the_watch_loop(house: Appliance) -> None:
    found = values(house.exposition.scrape({}))
    assert found["appliance_scrape_failed", "part=api"] == 1.0, "no API runs here"
    assert found["appliance_scrape_failed", "part=models"] == 0.0
    report = house.monitoring.quality("m")
    key = "metric=auc,model=m,source={},version=1"
    assert found["appliance_quality", key.format("labels")] == pytest.approx(report.metrics["auc"])
    assert report.estimate is not None
    assert found["appliance_quality", key.format("estimate")] == pytest.approx(report.estimate.metrics["auc"])
    assert found["appliance_label_coverage_ratio", "model=m,version=1"] == pytest.approx(2 / 3)
    drift = house.monitoring.drift("m")
    assert found["appliance_drift_psi", "column=x,model=m,version=1"] == pytest.approx(drift.columns[0].psi)
    assert found["appliance_state", "model=m,subject=drift,version=1"] == 2.0
    assert found["appliance_watch_lag_bytes", ""] == 0.0
    assert abs(found["appliance_watch_heartbeat_timestamp_seconds", ""] - time.time()) < 600
    assert found["appliance_process_up", "process=api"] == 0.0
    assert found["appliance_disk_free_bytes", ""] > 0


def test_figures_of_a_model_are_of_the_window_that_it_declares(house: Appliance) -> None:
    house.settings.layout.specs.mkdir(exist_ok=True)
    (house.settings.layout.specs / "m.toml").write_text('name = "m"\ndataset = "d"\ntarget = "y"\nwindow = "30d"\n')
    found = values(house.exposition.scrape({}))["appliance_drift_psi", "column=x,model=m,version=1"]
    of_a_month, of_a_day = (house.monitoring.drift("m", days * 86_400).columns[0].psi for days in (30, 1))
    assert found == of_a_month != of_a_day


def test_models_are_worked_out_once_a_minute(house: Appliance) -> None:
    first = values(house.exposition.scrape({}))
    replay_loans(house.settings, days=1, labelled=1)
    watch = Watch(house.settings.layout)
    watch_once(watch)
    watch.close()
    second = values(house.exposition.scrape({}))
    name = ("appliance_label_coverage_ratio", "model=m,version=1")
    assert second[name] == first[name]


def test_one_unreadable_bundle_hides_no_other_model(house: Appliance) -> None:
    with_a_second_model(house.settings)
    reference = house.settings.layout.models / "rent" / "1" / "reference.json"
    whole = reference.read_bytes()
    reference.chmod(0o600)
    reference.write_bytes(b"torn")
    found = values(house.exposition.scrape({}))
    assert found["appliance_scrape_failed", "model=rent,part=models"] == 1.0
    assert found["appliance_scrape_failed", "part=models"] == 0.0
    assert ("appliance_drift_psi", "column=x,model=m,version=1") in found
    assert not [labels for name, labels in found if name != "appliance_scrape_failed" and "model=rent" in labels]
    reference.write_bytes(whole)
    mended = values(open_appliance(house.settings).exposition.scrape({}))
    assert ("appliance_drift_psi", "column=temp,model=rent,version=1") in mended
    assert ("appliance_scrape_failed", "model=rent,part=models") not in mended


def with_a_second_model(settings: Settings) -> None:
    traffic.publish(settings, traffic.regression_schema(), traffic.training_frame())
    rent = traffic.Traffic(settings)
    rent.predict(traffic.encoded_rows(np.random.default_rng(0), 100), event_us=traffic.START_US)
    rent.close()
    watch = Watch(settings.layout)
    watch_once(watch)
    watch.close()


def test_a_list_setting_survives_the_environment(house: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = house.settings.model_copy(update={"metrics_aliases": frozenset({"mlserver", "kserve"})})
    for name, value in settings_environment(wanted).items():
        monkeypatch.setenv(name, value)
    assert load_settings().metrics_aliases == {"mlserver", "kserve"}


@contextmanager
def control(house: Appliance) -> Iterator[str]:
    """The control API on its port; gives a key of scope read."""
    doorkeeper = Doorkeeper(house.access, Sessions(house.settings.layout.run / "sessions.json"))
    app = create_control_app(house, doorkeeper)
    server = uvicorn.Server(uvicorn.Config(app, port=house.settings.ui_port, log_level="warning", lifespan="off"))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        until(lambda: server.started)
        yield house.access.create_key("prometheus", "read", who="test").key
    finally:
        server.should_exit = True
        thread.join()


def until(what: object, *, timeout_s: float = 120.0) -> None:
    end = time.monotonic() + timeout_s
    while not what():  # type: ignore[operator]
        assert time.monotonic() < end
        time.sleep(0.1)


@needs_prometheus
def test_a_real_prometheus_scrapes_all_of_it(house: Appliance, tmp_path: Path) -> None:
    assert shutil.which("prometheus")
    ours = house.settings
    port = free_port()
    with (
        serve_api(ours.layout) as api,
        control(open_appliance(ours.model_copy(update={
            "api_port": api.port, "metrics_aliases": frozenset({"mlserver", "kserve"})}))) as key,
    ):  # fmt: skip
        assert httpx.get(f"{ours.ui_url}/metrics").status_code == 401
        serve_a_model(ours, api)
        scrape = (FOLDER / "scrape.yml").read_text(encoding="utf-8")
        credentials = tmp_path / "key"
        credentials.write_text(key, encoding="utf-8")
        scrape = scrape.replace("/etc/prometheus/appliance.key", str(credentials)).replace("/api/metrics", "/metrics")
        scrape = scrape.replace("127.0.0.1:8080", f"127.0.0.1:{ours.ui_port}").replace("30s", "5s")
        config = tmp_path / "prometheus.yml"
        config.write_text(scrape + f'rule_files: ["{FOLDER / "alerts.yml"}"]\n', encoding="utf-8")
        process = subprocess.Popen(
            ["prometheus", f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'tsdb'}",
             f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"],
        )  # fmt: skip
        try:
            client = httpx.Client(base_url=f"http://127.0.0.1:{port}/api/v1", timeout=10)

            def ask(expression: str) -> list[dict[str, object]]:
                try:
                    answer = client.get("/query", params={"query": expression}).json()
                except (httpx.HTTPError, ValueError):  # it is starting
                    return []
                found: list[dict[str, object]] = answer["data"]["result"]
                return found

            until(lambda: ask("up"))
            targets = client.get("/targets").json()["data"]["activeTargets"]
            assert [target["lastError"] for target in targets] == [""]
            until(lambda: ask("appliance_build_info"))
            assert ask('up{job="appliance"} == 1')
            assert ask('appliance_scrape_failed{part="api"} == 0')
            assert ask('appliance_state{model="m",subject="drift"} == 2')
            assert ask('appliance_quality{model="m",metric="auc",source="estimate"} > 0.9')
            for expression in dashboard_expressions():
                until(partial(ask, expression))
            for name in ("model_infer_request_duration_count", "request_predict_seconds_bucket"):
                assert ask(name), name
            rules = client.get("/rules").json()["data"]["groups"][0]["rules"]
            assert {rule["health"] for rule in rules} <= {"ok", "unknown"}
            client.close()
        finally:
            process.terminate()
            process.wait(20)


def serve_a_model(settings: Settings, api: ServedApi) -> None:
    """Deploy one that answers and refuses, and note the API's process as the supervisor does."""
    publish(settings.layout, train_model("mixed", 1, task=Task.BINARY, columns=MIXED_COLUMNS))
    deploy(settings.layout, {"mixed": 1})
    api.wait_until_serving("mixed", 1)
    for row in (*sample_rows(MIXED_COLUMNS, 20), {}):
        api.client.post("/models/mixed/predict", json={"rows": [row]})
    started = find_start(api.process.pid)
    assert started is not None
    entry = ProcessEntry(
        name="api", state="running", pid=api.process.pid, started=started, since="2026-03-01T00:00:00Z"
    )
    write_ledger(settings.layout, Ledger(pid=api.process.pid, started=started, processes=(entry,)))


def dashboard_expressions() -> list[str]:
    """Every query of the shipped dashboard, of all models."""
    dashboard = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    found = [target["expr"].replace("$model", ".+") for panel in dashboard["panels"] for target in panel["targets"]]
    assert "$" not in "".join(found)
    return found


@needs_prometheus
def test_promtool_finds_no_fault_in_the_metrics(house: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = house.settings.model_copy(update={"metrics_aliases": frozenset()})
    with serve_api(ours.layout) as api:
        serve_a_model(ours, api)
        told = open_appliance(ours.model_copy(update={"api_port": api.port}))
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # which is for others
        text = told.exposition.scrape({"x-api-key": api.key})
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


@needs_prometheus
@pytest.mark.parametrize("arguments", [["check", "rules", "alerts.yml"], ["test", "rules", "alerts_test.yml"],
                                       ["check", "config", "--syntax-only", "scrape.yml"]])  # fmt: skip
def test_promtool_accepts_what_is_shipped(arguments: list[str]) -> None:
    done = subprocess.run(["promtool", *arguments], cwd=FOLDER, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_and_dashboard_ask_for_metrics_that_exist(house: Appliance) -> None:
    source = (Path(__file__).parents[2] / "appliance").rglob("*.py")
    named = set(re.findall(r'"(appliance_[a-z_]+)"', "".join(path.read_text(encoding="utf-8") for path in source)))
    asked = set()
    dashboard = json.loads((FOLDER / "grafana.json").read_text(encoding="utf-8"))
    for panel in dashboard["panels"]:
        for target in panel["targets"]:
            asked |= set(re.findall(r"appliance_[a-z_]+", target["expr"]))
    rules = (FOLDER / "alerts.yml").read_text(encoding="utf-8")
    asked |= {name for line in rules.splitlines() if "summary" not in line for name in
              re.findall(r"appliance_[a-z_]+", line)}  # fmt: skip
    bare = {re.sub(r"_(bucket|total)$", "", name) for name in asked}
    assert bare - {re.sub(r"_total$", "", name) for name in named} == set()
    assert len({panel["id"] for panel in dashboard["panels"]}) == len(dashboard["panels"]) == 15


def test_the_names_of_mlserver_and_kserve(house: Appliance, tmp_path: Path) -> None:
    from appliance.monitoring.exposition import _as_kserve, _as_mlserver

    text = (
        "# TYPE appliance_requests_total counter\n"
        'appliance_requests_total{model="m",version="1",status="200"} 7\n'
        'appliance_requests_total{model="m",version="1",status="422"} 2\n'
        'appliance_requests_total{model="m",version="1",status="500"} 1\n'
        'appliance_requests_total{model="",version="",status="404"} 5\n'
        "# TYPE appliance_request_duration_seconds histogram\n"
        'appliance_request_duration_seconds_bucket{model="m",version="1",le="+Inf"} 4\n'
        'appliance_request_duration_seconds_bucket{model="m",version="2",le="+Inf"} 3\n'
        'appliance_request_duration_seconds_count{model="m",version="1"} 4\n'
        'appliance_request_duration_seconds_sum{model="m",version="1"} 0.5\n'
    )
    families = list(text_string_to_metric_families(text))
    mlserver = {sample.name: sample.value for family in _as_mlserver(families) for sample in family.samples}
    assert mlserver == {
        "model_infer_request_success_total": 7.0, "model_infer_request_failure_total": 3.0,
        "model_infer_request_duration_count": 4.0, "model_infer_request_duration_sum": 0.5,
    }  # fmt: skip
    kserve = {sample.name: sample.value for family in _as_kserve(families) for sample in family.samples}
    assert kserve["request_predict_seconds_bucket"] == 7.0
    assert kserve["request_predict_seconds_count"] == 4.0
