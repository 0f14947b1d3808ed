"""A shadow that fails: alone, counted, and told once."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from appliance.schema import Task
from appliance.serving.capture import Capture
from appliance.serving.counts import Counts
from appliance.serving.loaded_model import load_model
from appliance.serving.scoring import Asked, Scorer
from appliance.serving.shadow import Order, Shadows
from storage.layout import Layout
from tests.model_bundles import numeric_columns, publish, sample_rows, train_model


def test_a_shadow_that_fails_is_told_once_and_counted_each_time(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    layout = Layout(root=tmp_path)
    layout.create()
    for version, columns in ((1, numeric_columns(2)), (2, numeric_columns(3))):
        publish(layout, train_model("m", version, task=Task.REGRESSION, columns=columns))
    champion, shadow = load_model(layout, "m", 1), load_model(layout, "m", 2)
    encoded = champion.encoder.encode(sample_rows(numeric_columns(2), 2))
    scored = Scorer(secret=bytes(32), threads=1).score(champion, encoded, at_us=1, explain=0)
    asked = Asked(started_ns=0, at_us=1, event_us=1, dialect="native", key=None, role="champion")
    capture, counts = Capture(layout, reserve_bytes=0, durable=False), Counts(layout.run / "counts", 0)

    async def offer() -> None:
        shadows = Shadows(capture, counts)
        for _ in range(5):
            shadows.offer(Order(shadow=shadow, scored=scored, asked=asked))
        await shadows.close()

    asyncio.run(offer())
    assert counts.totals()["m", 2].shadow == (0, 0, 5)
    told = [record for record in caplog.records if record.name == "appliance.api"]
    assert [record.getMessage() for record in told] == [
        "the shadow, version 2 of m, failed; further failures are counted (appliance_shadow_requests_total)"
    ]
    capture.close()
