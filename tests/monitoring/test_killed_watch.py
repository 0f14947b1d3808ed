"""A watch loop that is killed with SIGKILL at odd moments counts everything once."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from contextlib import closing

import numpy as np

from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.watch import Watch, watch_once
from appliance.settings import Settings
from storage import statedb
from storage.outcome_rows import scan_outcomes
from storage.window_rows import newest_hours
from tests.monitoring.traffic import HOUR_US, START_US, Traffic, encoded_rows

KILLS = 12
REQUESTS = 1500


def counted_rows(settings: Settings) -> int:
    with closing(statedb.connect(settings.layout.database)) as connection:
        if not newest_hours(connection, "rent"):
            return 0
    return int(Monitoring(settings).drift("rent", 400 * 3600).rows.current)


def test_sigkill_neither_loses_nor_repeats_an_event(settings: Settings, traffic: Traffic) -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(1, 5, REQUESTS).tolist()
    for i, size in enumerate(sizes):
        at = START_US + int(rng.integers(0, 100)) * HOUR_US
        token = traffic.predict(encoded_rows(rng, size), event_us=at)
        if i % 3 == 0:
            traffic.label(f"{token}.0", 1.0, label_us=at, at_us=at)
        if i % 5 == 0:
            traffic.refuse(at_us=at, status=422, count=2)
    chance = random.Random(4)
    seen = []
    for _ in range(KILLS):
        child = subprocess.Popen([sys.executable, "-m", "tests.monitoring.counting_child", str(settings.state)])
        before = counted_rows(settings)
        deadline = time.monotonic() + 120
        # The interpreter takes its time to start: wait for the first write, then kill somewhere in the next ones.
        while counted_rows(settings) == before and before < sum(sizes) and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(chance.random() * 0.1)
        child.kill()
        child.wait()
        seen.append(counted_rows(settings))
    watch = Watch(settings.layout)
    watch_once(watch)
    assert watch_once(watch).idle
    assert seen == sorted(seen)
    assert 0 < seen[0] < sum(sizes), "the first kill came too late to prove anything"
    assert counted_rows(settings) == sum(sizes)
    report = Monitoring(settings).latency("rent", 400 * 3600)
    assert (report.total.count, report.total.rows) == (REQUESTS, sum(sizes))
    assert report.total.errors == 2 * len(range(0, REQUESTS, 5))
    outcomes = list(scan_outcomes(watch.connection, "rent", first_us=0, last_us=2**60))
    assert len(outcomes) == len(range(0, REQUESTS, 3))
    watch.close()
