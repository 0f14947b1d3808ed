"""A whole appliance on free ports, with data, a model, traffic and labels, and how one logs in to it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import httpx
import polars as pl
from playwright.sync_api import Browser, BrowserContext, expect

from appliance.house import Appliance, open_appliance, prepare_state
from appliance.jobs import JobState
from appliance.model_spec import ModelSpec
from appliance.processes.procfs import find_pss_mb
from appliance.schema import Task
from appliance.settings import Settings
from tests.served_api import free_port
from tests.ui.dashboard import PASSWORD, environment

ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip
PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"
ARTIFACTS = Path(__file__).parents[1] / ".artifacts" / "screenshots"
MODEL = "rentals"
SECOND = "sexes"
"""Has two classes, hence a threshold; groups that are compared; and a version on trial beside the one that serves."""
CHANNEL = "on-call"
"""What it is told of arrives nowhere."""
REQUESTS = 240


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """The running appliance."""

    appliance: Appliance
    settings: Settings
    dashboard_pid: int
    pids: Mapping[str, int] = field(default_factory=dict)
    """Of its processes, by the module that each runs."""

    @property
    def url(self) -> str:
        return self.settings.ui_url

    def dashboard_pss_mb(self) -> float:
        """Memory of the dashboard's process and its children, as ``appliance status`` tells it."""
        found = find_pss_mb(self.dashboard_pid)
        assert found is not None
        return found


@contextlib.contextmanager
def open_world(
    folder: Path, fill: Callable[[Appliance], None] | None = None, *, dashboard: tuple[str, ...] = ("ui.app",)
) -> Iterator[World]:
    """Start it below a folder, fill it, end it.

    Args:
        folder: Where its state lies.
        fill: Fills it; None: with the bikes.
        dashboard: The module that runs one, and its arguments.
    """
    settings = Settings(
        state=folder / "state", api_port=free_port(), ui_port=free_port(),
        orchestrator_port=free_port(), mlflow_port=free_port(), ui_mlflow_port=free_port(),
        ui_prefect_port=free_port(), watch_interval_s=0.5,
    )  # fmt: skip
    prepare_state(settings)
    extra = {
        "APPLIANCE_API_PORT": str(settings.api_port), "APPLIANCE_ORCHESTRATOR_PORT": str(settings.orchestrator_port),
        "APPLIANCE_MLFLOW_PORT": str(settings.mlflow_port), "APPLIANCE_WATCH_INTERVAL_S": "0.5",
        "APPLIANCE_UI_MLFLOW_PORT": str(settings.ui_mlflow_port),
        "APPLIANCE_UI_PREFECT_PORT": str(settings.ui_prefect_port),
    }  # fmt: skip
    variables = environment(settings.state, settings.ui_port, extra)
    log = ARTIFACTS.parent / f"{folder.name}.log"  # each its own: a second world would empty the first one's
    log.parent.mkdir(parents=True, exist_ok=True)
    started: dict[str, int] = {}
    with log.open("wb") as out, contextlib.ExitStack() as stack:
        for module in (
            ("flows.orchestrator",),
            ("appliance.api.inference.process",),
            ("flows.runner",),
            dashboard,
            ("appliance.processes.mlflow_door",),
        ):
            process = subprocess.Popen([sys.executable, "-m", *module], env=variables, stdout=out, stderr=out)
            stack.callback(_end, process)
            started[module[0]] = process.pid
        appliance = open_appliance(settings)
        stack.callback(appliance.jobs.close)
        (fill or _fill)(appliance)
        wait_until(lambda: httpx.get(f"{settings.ui_url}/api/health").is_success, "the dashboard")
        yield World(appliance=appliance, settings=settings, dashboard_pid=started[dashboard[0]], pids=started)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(40)
    if process.poll() is None:
        process.kill()
        process.wait(10)


def ids_of(world: World) -> dict[str, str]:
    """What the addresses of pages are filled with: a job, a job whose gate is red, and an alert of each subject."""
    jobs = world.appliance.jobs.list(100)
    red = next(one.id for one in jobs if one.model == SECOND and one.state is JobState.COMPLETED)
    return {"job": world.appliance.jobs.list(1)[0].id, "red_job": red} | {
        alert.subject: str(alert.id) for alert in world.appliance.monitoring.alerts() if alert.model == MODEL
    }


def _fill(appliance: Appliance) -> None:
    appliance.channels.add(CHANNEL, "json://127.0.0.1:9/", who="test")
    _fill_second(appliance)
    source = str(files("appliance.demo") / "data" / "bike_sharing_hourly.parquet")
    early = "SELECT * EXCLUDE (casual, registered, dteday) FROM source WHERE ts < TIMESTAMP '2011-07-01'"
    appliance.datasets.add("bikes", source, query=early, target="cnt", who="test")
    later = early.replace("2011-07-01", "2011-09-01")
    appliance.datasets.add("bikes", source, query=later, target="cnt", who="test")
    spec = ModelSpec(
        name=MODEL,
        dataset="bikes",
        target="cnt",
        task=Task.REGRESSION,
        time="ts",
        rounds=60,
        deploy="auto",
        window="30d",
    )
    appliance.models.create(spec, who="test")
    train(appliance, MODEL)
    _send(appliance)
    wait_until(lambda: {"drift", "quality"} <= _told(appliance), "the messages about the alerts")


def _told(appliance: Appliance) -> set[str]:
    """Of what in the model the channel was told, or was to be."""
    alerts = {one.id: one.subject for one in appliance.monitoring.alerts() if one.model == MODEL}
    return {alerts[one.alert] for one in appliance.channels.deliveries() if one.alert in alerts}


def _fill_second(appliance: Appliance) -> None:
    appliance.datasets.add("penguins-sexed", str(PENGUINS), who="test")
    spec = ModelSpec(
        name=SECOND, dataset="penguins-sexed", target="sex", rounds=40, protected=("island",), deploy="auto"
    )
    appliance.models.create(spec, who="test")
    for _ in range(2):  # the second is the same, so its gate is red
        train(appliance, SECOND)
    rows = pl.read_csv(PENGUINS, null_values=["NA", ""]).drop_nulls("sex")
    key = appliance.access.create_key("test-second", "admin", who="test").key
    columns = list(appliance.models.card(SECOND).columns)
    with httpx.Client(base_url=appliance.settings.api_url, headers={"x-api-key": key}, timeout=30) as client:
        wait_until(lambda: client.get(f"/models/{SECOND}").is_success, "the API to serve")
        appliance.deployments.start_canary(SECOND, 20, 2, who="test")
        body = {"rows": rows.select(columns).to_dicts()}
        answers = client.post(f"/models/{SECOND}/predict", json=body).raise_for_status().json()["predictions"]
        labels = [{"id": one["id"], "label": sex} for one, sex in zip(answers, rows["sex"], strict=True)]
        client.post(f"/models/{SECOND}/labels", json={"labels": labels}).raise_for_status()
    wait_until(lambda: appliance.monitoring.quality(SECOND, 90 * 86_400).labelled > 0, "labels of the second model")


def train(appliance: Appliance, model: str) -> None:
    """Train a declared model by a job, to its end."""
    url, started = appliance.settings.orchestrator_url, []
    wait_until(lambda: httpx.get(f"{url}/health").is_success, "the orchestrator")

    def start() -> bool:
        started.append(appliance.jobs.start_training(model, who="test"))
        return True

    wait_until(start, "a training to start")
    job = appliance.jobs.wait(started[0], timeout_s=600)
    assert job.state is JobState.COMPLETED, job.message


def _send(appliance: Appliance) -> None:
    key = appliance.access.create_key("test", "admin", who="test").key
    rows = pl.read_parquet(str(files("appliance.demo") / "data" / "bike_sharing_hourly.parquet")).sort("ts")
    columns = list(appliance.models.card(MODEL).columns)
    winter = rows.filter(pl.col("ts") >= datetime(2011, 12, 1)).head(REQUESTS)  # noqa: DTZ001  (local times, as in the data)
    labels = []
    with httpx.Client(base_url=appliance.settings.api_url, headers={"x-api-key": key}, timeout=30) as client:
        wait_until(lambda: client.get(f"/models/{MODEL}").is_success, "the API to serve")
        for row in winter.iter_rows(named=True):
            at = row["ts"].replace(tzinfo=UTC)
            body = {"rows": [{name: row[name] for name in columns}], "time": at.isoformat()}
            found = client.post(f"/models/{MODEL}/predict", json=body).raise_for_status().json()["predictions"][0]
            known = (at + timedelta(hours=6)).isoformat()
            labels.append({"id": found["id"], "label": row["cnt"], "time": known})
        client.post(f"/models/{MODEL}/predict", json={"rows": [{}]})  # one that is refused
        client.post(f"/models/{MODEL}/labels", json={"labels": labels}).raise_for_status()
    wait_until(
        lambda: appliance.monitoring.quality(MODEL, 30 * 86_400).labelled == REQUESTS, "the labels to be counted"
    )


def wait_until(ready: Callable[[], bool], what: str, *, timeout_s: float = 180.0) -> None:
    """Ask until it is so.

    Raises:
        TimeoutError: It is not; says what, and what was in the way.
    """
    deadline = time.monotonic() + timeout_s
    trouble: Exception | None = None
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except Exception as exc:  # noqa: BLE001  (whatever keeps it from being ready is told when the time is up)
            trouble = exc
        time.sleep(0.3)
    raise TimeoutError(f"{what} is not there after {timeout_s:.0f} s: {trouble}")


def let_pages_look(world: World, context: BrowserContext, *keys: str) -> None:
    """Make API keys, each once another tab shows the one before: between two of them every page looked again."""
    page = context.new_page()
    page.goto(f"{world.url}/settings")
    page.wait_for_selector("h1")
    for key in keys:
        world.appliance.access.create_key(key, "read", who="test")
        expect(page.get_by_text(key, exact=True).first).to_be_visible()
    page.close()


def first_login(world: World, browser: Browser, file: Path) -> Path:
    """Go through the first login as the admin does, and keep the cookies in a file."""
    context = browser.new_context()
    page = context.new_page()
    page.goto(f"{world.url}/models")
    page.get_by_label("User name").fill("admin")
    one_time = world.settings.layout.admin_password.read_text().strip()
    page.get_by_label("Password").fill(one_time)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url("**/password?next=/models")
    page.get_by_label("Present password").fill(one_time)
    page.get_by_label("New password", exact=True).fill(PASSWORD)
    page.get_by_label("New password again").fill(PASSWORD)
    page.get_by_role("button", name="Set password").click()
    page.wait_for_url(f"{world.url}/models")
    context.storage_state(path=file)
    context.close()
    return file
