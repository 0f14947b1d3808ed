"""The inference API as an application: the composition root of one serving process."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass

from appliance.api.inference.bodies import BodyReader
from appliance.api.inference.config import ApiConfig
from appliance.api.inference.connections import Connection, speak
from appliance.api.inference.endpoints import list_endpoints
from appliance.api.inference.exchange import Desk
from appliance.api.inference.front import Front
from appliance.api.inference.keys import KeyRing
from appliance.api.inference.limits import Limits
from appliance.api.inference.paths import PathTable
from appliance.errors import BadSetting
from appliance.serving.capture import Capture
from appliance.serving.counts import Counts
from appliance.serving.heap import Heap
from appliance.serving.refusals import Refusals
from appliance.serving.router import Router
from appliance.serving.scoring import Scorer
from appliance.serving.shadow import Shadows
from storage.disk_budget import capture_reserve

POLL_S = 0.2
"""Seconds between looks at deployments.json and the key table."""

FLUSH_S = 2.0
"""Seconds between records of what was refused."""

log = logging.getLogger("appliance.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What uvicorn serves with.

    Attributes:
        connect: Makes the protocol of each connection, which answers plain requests itself.
        router: What serves.
    """

    app: Front
    connect: Callable[..., Connection]
    router: Router


def create_app(config: ApiConfig, *, worker: int = 0) -> Serving:
    """Build the application of one worker.

    Args:
        config: What this process was told.
        worker: Which of the equal workers it is, from 0.

    Raises:
        StateUnwritable: The state database cannot be opened.
        StaleSchema: It has another schema than this program.
        BadSetting: The state directory was not prepared.
    """
    layout = config.layout
    scorer = Scorer(secret=_read_secret(config), threads=_cores())
    router = Router(layout)
    refusals = Refusals(layout, worker)
    capture = Capture(
        layout,
        reserve_bytes=capture_reserve(layout.root, config.capture_reserve_mb << 20),
        durable=config.capture_durability == "sync",
    )
    counts = Counts(layout.run / "api-counts", worker)
    desk = Desk(
        keys=KeyRing(layout), capture=capture, counts=counts,
        bodies=BodyReader(config.max_body_bytes, timeout_s=config.body_timeout_s),
        pool=ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="large"),
        shadows=Shadows(capture, counts), heap=Heap(), secret=scorer.secret,
        limits=Limits(
            max_in_flight=config.max_in_flight, key_rate_per_s=config.key_rate_per_s,
            show=counts.series("", 0).note_in_flight,
        ),
    )  # fmt: skip
    paths = PathTable(list_endpoints(config, router, scorer, desk))

    front = Front(desk, paths, lambda: _lifespan(desk, router, refusals))
    return Serving(app=front, connect=speak(desk, paths), router=router)


@asynccontextmanager
async def _lifespan(desk: Desk, router: Router, refusals: Refusals) -> AsyncIterator[None]:
    """Load what is deployed, then follow changes until the end; what was refused is recorded last."""
    await asyncio.to_thread(_follow, router, refusals)
    _create_series(desk.counts, router)
    desk.counts.series("", 0).note_room(desk.limits.max_in_flight)
    ticker = asyncio.create_task(_tick(desk, router, refusals))
    try:
        yield
    finally:
        ticker.cancel()
        with suppress(asyncio.CancelledError):
            await ticker
        desk.pool.shutdown()
        await desk.shadows.close()
        desk.capture.close()
        desk.keys.close()


def _follow(router: Router, refusals: Refusals) -> None:
    router.poll()
    refusals.write(router.current.refusals)


async def _tick(desk: Desk, router: Router, refusals: Refusals) -> None:
    loop = asyncio.get_running_loop()
    flushed_at = loop.time()
    syncs = 0
    while True:
        await asyncio.sleep(POLL_S)
        try:
            desk.keys.refresh()
            desk.bodies.end_overdue()
            desk.heap.give_back()
            if router.has_changed() or refusals.pending:
                await asyncio.to_thread(_follow, router, refusals)
                _create_series(desk.counts, router)
            desk.counts.series("", 0).count_syncs(desk.capture.syncs - syncs)
            syncs = desk.capture.syncs
            if loop.time() - flushed_at >= FLUSH_S or desk.capture.problem:
                flushed_at = loop.time()
                desk.capture.flush()
                desk.counts.series("", 0).note_capture(off=bool(desk.capture.problem))
        except Exception:
            # The border of the background: what fails once must not end the watch over keys, bundles and the log.
            log.exception("a look at keys, bundles and the event log failed; the next one follows")


def _create_series(counts: Counts, router: Router) -> None:
    """Every series exists before its first request, so that a rate over it is right from the start."""
    counts.series("", 0)
    for route in router.current.routes.values():
        for model in route.loaded:
            counts.series(model.name, model.version)


def _read_secret(config: ApiConfig) -> bytes:
    try:
        secret = config.layout.secret.read_bytes()
    except OSError as exc:
        raise BadSetting(
            f"cannot read {config.layout.secret}: {exc.strerror}; the state is not prepared: run 'appliance up'"
        ) from exc
    if len(secret) < 32:
        raise BadSetting(f"{config.layout.secret} has {len(secret)} bytes, 32 are needed; restore it from a backup")
    return secret


def _cores() -> int:
    return max(1, len(os.sched_getaffinity(0)))
