"""The watch loop beside a growing history; part of ``python -m tests.bench.monitoring``.

A regression with models of its errors, as training makes them; every prediction gets a label. The keeper, which works
out what pages ask first, is measured without the rests that bound it to a twentieth of a core.
"""

from __future__ import annotations

import math
import time
from pathlib import Path

import lightgbm
import msgspec
import numpy as np

from appliance.events import LabelEvent, PredictionEvent
from appliance.monitoring.keeping import Keeper
from appliance.monitoring.losses import LOSSES, Losses
from appliance.monitoring.reference import dump_reference
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from appliance.training.losses import LEAVES, ROUNDS
from storage.bundles import Manifest, publish_bundle
from storage.eventlog import EventWriter
from storage.migrations import migrate
from tests.bench.drift import encoded, make_reference, schema
from tests.monitoring.traffic import token_at

REQUESTS = 40_000
RATE = 5_000
START_US = 1_770_000_000_000_000
YEAR_HOURS, YEAR_MINUTES = 365 * 24, 365 * 24 * 60


def bench_watch(folder: Path) -> None:
    """Print what a request costs the loop, first without a history, then after a year of it."""
    settings = Settings(state=folder / "state")
    settings.layout.create()
    migrate(settings.layout.database)
    manifest = Manifest(
        model="bench", version=1, task="regression", created_at="", run_id="", dataset="", dataset_version=1,
        code_version="", files={},
    )  # fmt: skip
    files = {
        "schema.json": msgspec.json.encode(schema()), "reference.json": dump_reference(make_reference()),
        LOSSES: msgspec.json.encode(_error_models()),
    }  # fmt: skip
    publish_bundle(settings.layout, manifest, files)
    watch = Watch(settings.layout)
    print(f"watch loop: {REQUESTS:,} requests of one row x 28 columns, then a label for each, log to SQLite, one look")
    _look(settings, watch, 0)  # what is loaded once is loaded
    _label(settings, watch, 0)
    fresh, labelled = _look(settings, watch, 1), _label(settings, watch, 1)
    _say("requests, no history", fresh)
    _say("labels, no history", labelled)
    _say("both", fresh + labelled)
    print(f"  {'the keeper, of ' + f'{2 * REQUESTS:,} labels':<52} {_keep(watch):6.2f} s")
    hours, minutes = _remember_a_year(watch)
    for _ in range(20):  # the days of the made-up year are judged, a few a look; in life each was when it passed
        watch_once(watch)
    later, labelled_later = _look(settings, watch, 2), _label(settings, watch, 2)
    _say(f"requests, {hours:,} hourly, {minutes:,} minute windows before", later, fresh)
    _say("labels, likewise", labelled_later, labelled)
    _say("both, likewise", later + labelled_later, fresh + labelled)
    print(f"  {'the keeper, of ' + f'{REQUESTS:,} labels more':<52} {_keep(watch):6.2f} s")
    started = time.process_time()
    for _ in range(10):
        watch_once(watch)
    print(f"  a look that finds nothing new: {(time.process_time() - started) / 10 * 1000:.1f} ms of the processor")
    watch.close()


def _look(settings: Settings, watch: Watch, turn: int) -> float:
    """Append requests of one row, count them, and give the processor seconds of the counting."""
    writer = EventWriter(settings.layout.events / "predictions")
    for number, row in enumerate(encoded(REQUESTS, turn)):
        at = START_US + (turn * REQUESTS + number) * 200
        values = [None if math.isnan(value) else value for value in row.tolist()]
        event = PredictionEvent(
            id=token_at(at, turn * REQUESTS + number), t=at, at=at, m="bench", v=1, n=1, x=values,
            y=[values[0] or 0.0], us=500,
        )  # fmt: skip
        writer.append(msgspec.json.encode(event))
    writer.close()
    started = time.process_time()
    found = watch_once(watch)
    if found.predictions != REQUESTS:
        raise RuntimeError(f"{found.predictions} of {REQUESTS} requests were counted")
    return time.process_time() - started


def _label(settings: Settings, watch: Watch, turn: int) -> float:
    """Append a label for each of those requests, count them, and give the processor seconds of the counting."""
    errors = np.random.default_rng(turn).normal(size=REQUESTS).tolist()
    writer = EventWriter(settings.layout.events / "labels")
    for number, error in enumerate(errors):
        at = START_US + (turn * REQUESTS + number) * 200
        token = token_at(at, turn * REQUESTS + number)
        writer.append(msgspec.json.encode(LabelEvent(id=f"{token}.0", m="bench", l=error, t=at, at=at)))
    writer.close()
    started = time.process_time()
    found = watch_once(watch)
    if found.labels != REQUESTS:
        raise RuntimeError(f"{found.labels} of {REQUESTS} labels found their prediction")
    return time.process_time() - started


def _keep(watch: Watch) -> float:
    """Processor seconds until everything that pages ask first is current."""
    started = time.process_time()
    keeper = Keeper(watch.versions, clock=lambda: 0.0)  # no time passes: it neither stops nor rests
    if not keeper.look(watch.connection, changed=True):
        raise RuntimeError("the keeper did not finish")
    return time.process_time() - started


def _error_models() -> Losses:
    """As large as training makes them."""
    matrix = encoded(5_000, 77)
    value = np.nan_to_num(matrix[:, 0])
    error = np.random.default_rng(7).normal(size=len(value)) * (1 + np.abs(value))
    seen = np.column_stack([matrix, value])
    texts = [
        lightgbm.train(
            {"num_leaves": LEAVES, "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(seen, target), ROUNDS
        ).model_to_string()
        for target in (np.abs(error), error**2)
    ]  # fmt: skip
    return Losses(absolute=texts[0], squared=texts[1])


def _remember_a_year(watch: Watch) -> tuple[int, int]:
    """Copy the counted hour and minute backwards, as if the same traffic had come for a year; how many there are."""
    for table, unit, count in (("feature_windows", "hour", YEAR_HOURS), ("service_windows", "minute", YEAR_MINUTES)):
        names = [row["name"] for row in watch.connection.execute(f"PRAGMA table_info({table})")]
        moved = ", ".join(f"{unit} - past.n" if name == unit else f"latest.{name}" for name in names)
        watch.connection.execute(
            f"WITH RECURSIVE past(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM past WHERE n < {count}) "  # noqa: S608
            f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) SELECT {moved} FROM past, "
            f"(SELECT * FROM {table} ORDER BY {unit} DESC LIMIT 1) AS latest"
        )
    found = [
        int(watch.connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608
        for table in ("feature_windows", "service_windows")
    ]
    return found[0], found[1]


def _say(what: str, seconds: float, before: float | None = None) -> None:
    ratio = "" if before is None else f", {seconds / before:.2f} x that without a history"
    print(f"  {what:<52} {seconds / REQUESTS * 1e6:6.1f} us a request; {RATE:,} a second take "
          f"{RATE * seconds / REQUESTS:.1%} of a core{ratio}")  # fmt: skip
