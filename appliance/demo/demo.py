"""The demo: a model of real data, trained, served, watched, found wanting and retrained, on the running appliance.

UCI bike sharing, hourly (CC BY 4.0, origin beside the data). Trains on 2011, replays 2012 as live traffic with its own
event times, sends labels days later, retrains on everything labelled, and lets the new champion serve what is left.
Each step looks at what is there first: a demo that was cut off goes on where it stopped, a second one does nothing.
"""

from __future__ import annotations

import os
import shlex
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

import httpx
import msgspec
import polars as pl

from appliance.demo.replay import Observation, Replayed, Target, replay
from appliance.demo.report import DemoReport
from appliance.errors import NotReady
from appliance.house import Appliance
from appliance.jobs import DEMO_MODEL, Job, JobProgress, JobState
from appliance.model_spec import load_spec
from storage.bundles import replace_durably
from storage.layout import Layout

MODEL = DEMO_MODEL
DATASET = "bike-sharing"
WHO = "demo"
TRAINED_UNTIL = datetime(2012, 1, 1)  # noqa: DTZ001  (the data has local wall-clock times)
CURL_TIME = "2012-12-31T22:30:00Z"
"""The pasted prediction belongs to the replayed year: one of today would move every window to a day of one row."""
RETRAINED_AT = datetime(2012, 12, 8)  # noqa: DTZ001


class _Progress(msgspec.Struct, kw_only=True):
    """How far the demo came; ``state/demo.json``."""

    replayed_until: str = ""
    done: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoOutcome:
    """What the demo left behind."""

    already_done: bool
    seconds: float
    curl: str


def run_demo(appliance: Appliance, report: DemoReport) -> DemoOutcome:
    """Run the demo, or what is left of it.

    Raises:
        NotReady: A process that the demo needs does not run.
        ApplianceError: A step failed; its own message says why.
    """
    started = time.monotonic()
    progress = _read_progress(appliance.settings.layout)
    if progress.done:
        return DemoOutcome(already_done=True, seconds=0.0, curl=curl_line(appliance))
    _wait_for_api(appliance)
    with as_file(files("appliance.demo") / "data" / "bike_sharing_hourly.parquet") as source:
        rows = pl.read_parquet(source).sort("ts")
        _ingest(appliance, source, report)
    _train_first(appliance, report)
    key = _demo_key(appliance)
    target = Target(api_url=appliance.settings.api_url, model=MODEL, key=key)
    _replay_year(appliance, report, rows, target, progress)
    outcome = DemoOutcome(already_done=False, seconds=time.monotonic() - started, curl=curl_line(appliance))
    _write_progress(appliance.settings.layout, replayed_until=progress.replayed_until, done=True)
    return outcome


def demo_key_path(layout: Layout) -> Path:
    """Where the demo's API key lies, 0600."""
    return layout.root / "demo-key"


def curl_line(appliance: Appliance) -> str:
    """A command that predicts when it is pasted; it reads the key from its file, so no key is printed."""
    row = '{"season":"summer","holiday":"No","weekday":"Fri","workingday":"Yes","weathersit":"Clear",'
    row += '"temp":28.0,"atemp":31.5,"hum":50,"windspeed":12.0,"hour":17}'
    settings = appliance.settings
    key = shlex.quote(str(demo_key_path(settings.layout).absolute()))
    return (
        f"curl -s {settings.api_url}/models/{MODEL}/predict "
        f'-H "Authorization: Bearer $(cat {key})" '
        f'-H \'Content-Type: application/json\' -d \'{{"time":"{CURL_TIME}","rows":[{row}]}}\''
    )


def _ingest(appliance: Appliance, source: Path, report: DemoReport) -> None:
    if any(snapshot.dataset == DATASET for snapshot in appliance.datasets.list()):
        return
    report.step("Reading the bike rentals of 2011 into the dataset 'bike-sharing'")
    query = "SELECT * FROM source WHERE ts < TIMESTAMP '2012-01-01'"
    appliance.datasets.add(DATASET, str(source), query=query, target="cnt", who=WHO)


def _train_first(appliance: Appliance, report: DemoReport) -> None:
    if any(model.name == MODEL for model in appliance.models.list()) and appliance.models.versions(MODEL):
        return
    with as_file(files("appliance.demo") / "bike-demand.toml") as path:
        appliance.models.apply(load_spec(path), who=WHO)
    report.step("Training the model 'bike-demand' on 2011")
    _train(appliance, report, appliance.jobs.start_training(MODEL, who=WHO))


def _train(appliance: Appliance, report: DemoReport, job_id: str) -> None:
    with report.bar("training", total=100) as advance:

        def on_progress(_: Job, now: JobProgress | None) -> None:
            if now is not None:
                advance(round(now.fraction * 100), now.message or now.step)

        job = appliance.jobs.wait(job_id, on_progress, timeout_s=600.0)
    if job.state is not JobState.COMPLETED:
        raise NotReady(f"the demo's training {job.state}: {job.message}; see 'appliance logs runner'")
    newest = appliance.models.versions(MODEL)[0]
    measured, dummy = newest.metrics["rmse"], newest.baseline["rmse"]
    report.note(f"version {newest.version}: RMSE {measured:.1f} on its holdout, predicting the mean {dummy:.1f}")
    for reason in newest.gate.reasons:
        report.note(reason)


def _replay_year(
    appliance: Appliance, report: DemoReport, rows: pl.DataFrame, target: Target, progress: _Progress
) -> None:
    layout = appliance.settings.layout
    inputs = list(appliance.models.card(MODEL).columns)
    before = _observations(rows, inputs, since=TRAINED_UNTIL, until=RETRAINED_AT, progress=progress)
    if before:
        _wait_until_served(target, version=None)
        report.step(f"Replaying 2012 up to {RETRAINED_AT:%d %B}: {len(before)} requests, labels three days behind")
        _replay(layout, report, before, target, progress)
        _wait_until_watched(appliance)
    if len(appliance.models.versions(MODEL)) < 2:
        report.step("The error has grown; retraining on everything that is labelled by now")
        _train(appliance, report, appliance.jobs.start_retraining(MODEL, who=WHO))
    newest = appliance.models.versions(MODEL)[0]
    rest = _observations(rows, inputs, since=RETRAINED_AT, until=None, progress=progress)
    if rest:
        _wait_until_served(target, version=newest.version if newest.gate.passed else None)
        report.step(f"The rest of 2012 goes to the new champion: {len(rest)} requests")
        _replay(layout, report, rest, target, progress)
        _wait_until_watched(appliance)


def _replay(
    layout: Layout, report: DemoReport, observations: list[Observation], target: Target, progress: _Progress
) -> Replayed:
    with report.bar("requests", total=len(observations)) as advance:

        def on_day(day: object, sent: int) -> None:
            advance(sent, f"{day}")

        replayed = replay(observations, target, on_day=on_day)
    progress.replayed_until = observations[-1].at.isoformat()
    _write_progress(layout, replayed_until=progress.replayed_until, done=False)
    return replayed


def _observations(
    rows: pl.DataFrame, inputs: list[str], *, since: datetime, until: datetime | None, progress: _Progress
) -> list[Observation]:
    done = datetime.fromisoformat(progress.replayed_until) if progress.replayed_until else None
    kept = rows.filter(pl.col("ts") >= since)
    if until is not None:
        kept = kept.filter(pl.col("ts") < until)
    if done is not None:
        kept = kept.filter(pl.col("ts") > done)
    return [
        Observation(at=row["ts"], row={name: row[name] for name in inputs}, label=float(row["cnt"]))
        for row in kept.iter_rows(named=True)
    ]


def _demo_key(appliance: Appliance) -> str:
    path = demo_key_path(appliance.settings.layout)
    if path.exists():
        return path.read_text().strip()
    for key in appliance.access.list_keys():
        if key.name == WHO and key.revoked_at is None:
            appliance.access.revoke_key(WHO, who=WHO)
    created = appliance.access.create_key(WHO, "predict,label,read", who=WHO)
    with open(path, "w", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
        file.write(created.key + "\n")
    return created.key


def _wait_for_api(appliance: Appliance, *, timeout_s: float = 60.0) -> None:
    _poll(
        lambda: httpx.get(f"{appliance.settings.api_url}/health/live", timeout=5.0, trust_env=False).is_success,
        f"the inference API at {appliance.settings.api_url} does not answer; start it with 'appliance up --detach'",
        timeout_s=timeout_s,
    )


def _wait_until_served(target: Target, *, version: int | None, timeout_s: float = 60.0) -> None:
    def served() -> bool:
        url = f"{target.api_url}/models/{target.model}"
        answer = httpx.get(url, headers={"Authorization": f"Bearer {target.key}"}, timeout=5.0, trust_env=False)
        return answer.is_success and (version is None or int(answer.json()["version"]) == version)

    _poll(served, f"the API does not serve {target.model} version {version or 'any'}", timeout_s=timeout_s)


def _wait_until_watched(appliance: Appliance, *, timeout_s: float = 120.0) -> None:
    _poll(
        lambda: appliance.monitoring.lag().bytes_behind == 0,
        "the watch loop does not catch up with the event log; see 'appliance logs runner'",
        timeout_s=timeout_s,
    )


def _poll(ready: Callable[[], bool], otherwise: str, *, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        try:
            if ready():
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise NotReady(otherwise)


def _read_progress(layout: Layout) -> _Progress:
    path = layout.root / "demo.json"
    return msgspec.json.decode(path.read_bytes(), type=_Progress) if path.exists() else _Progress()


def _write_progress(layout: Layout, **fields: Any) -> None:
    replace_durably(layout.root / "demo.json", msgspec.json.encode(_Progress(**fields)))
