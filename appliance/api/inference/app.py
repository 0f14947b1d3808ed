"""The inference API as a Litestar application: the composition root of one serving process.

All paths go through one bare ASGI handler (`@asgi`): Litestar's parameter injection, which costs more than a prediction
does, stays out of the way.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from litestar import Litestar, Request, asgi
from litestar.exceptions import HTTPException
from litestar.response import Response
from litestar.types import Receive, Scope, Send

from appliance import __version__
from appliance.api.inference.bodies import BodyReader
from appliance.api.inference.config import ApiConfig
from appliance.api.inference.connections import Connection, speak
from appliance.api.inference.documentation import Documentation
from appliance.api.inference.errors import BadField, NoSuchRoute
from appliance.api.inference.exchange import Desk, Endpoint, Handler, Refuse, find_request_id, new_request_id
from appliance.api.inference.exposition import Exposition
from appliance.api.inference.health import Health
from appliance.api.inference.keys import LABEL, PREDICT, READ, KeyRing
from appliance.api.inference.native import Native
from appliance.api.inference.openinference import OpenInference
from appliance.api.inference.paths import PathTable
from appliance.api.inference.problems import native_problem, v2_error
from appliance.errors import BadSetting
from appliance.serving.capture import Capture
from appliance.serving.counts import Counts
from appliance.serving.refusals import Refusals
from appliance.serving.router import Router
from appliance.serving.scoring import Scorer
from appliance.serving.shadow import Shadows

POLL_S = 0.2
"""Seconds between looks at deployments.json and the key table."""

FLUSH_S = 2.0
"""Seconds between records of what was refused."""

_ANY_SCOPE = frozenset({PREDICT, LABEL, READ})
log = logging.getLogger("appliance.api")


@dataclass(frozen=True, slots=True, kw_only=True)
class Serving:
    """What uvicorn serves with.

    Attributes:
        connect: Makes the protocol of each connection, which answers plain requests itself.
        router: What serves.
    """

    app: Litestar
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
        layout, reserve_bytes=config.capture_reserve_mb << 20, durable=config.capture_durability == "sync"
    )
    counts = Counts(layout.run / "api-counts", worker)
    desk = Desk(
        keys=KeyRing(layout), capture=capture, counts=counts, bodies=BodyReader(config.max_body_bytes),
        pool=ThreadPoolExecutor(max_workers=_cores(), thread_name_prefix="large"),
        shadows=Shadows(capture, counts),
    )  # fmt: skip
    paths = PathTable(_endpoints(config, router, scorer, desk))

    @asgi("/", is_mount=True, copy_scope=False)
    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        try:
            match = paths.find(path)
        except NoSuchRoute as exc:
            await desk.turn_away(_dialect_of(path), scope, send, exc)
            return
        await desk.serve(match.endpoint, scope, receive, send, match.params)

    app = Litestar(
        route_handlers=[handle],
        lifespan=[lambda _: _lifespan(desk, router, refusals)],
        exception_handlers={HTTPException: _refuse_unrouted},
        openapi_config=None,
        logging_config=None,
    )
    return Serving(app=app, connect=speak(desk, paths), router=router)


def _endpoints(config: ApiConfig, router: Router, scorer: Scorer, desk: Desk) -> dict[str, Endpoint]:
    """Every path of every dialect."""
    health = Health(router, desk.capture, desk.keys)
    exposition = Exposition(router, desk.capture, desk.counts, workers=config.workers, version=__version__)
    documentation = Documentation(router)
    return {
        **_native_endpoints(Native(router, scorer)),
        **_v2_endpoints(OpenInference(router, scorer)),
        "/health/live": _endpoint(native_problem, None, GET=health.live),
        "/health/ready": _endpoint(native_problem, None, GET=health.ready),
        "/metrics": _endpoint(native_problem, frozenset({READ}), GET=exposition.scrape),
        "/docs": _endpoint(native_problem, None, GET=documentation.page),
        "/openapi.json": _endpoint(native_problem, None, GET=documentation.document),
    }


def _native_endpoints(native: Native) -> dict[str, Endpoint]:
    return {
        "/models/{model}/predict": _endpoint(native_problem, frozenset({PREDICT}), POST=native.predict),
        "/models/{model}/labels": _endpoint(native_problem, frozenset({LABEL}), POST=native.label),
        "/models": _endpoint(native_problem, _ANY_SCOPE, GET=native.list_models),
        "/models/{model}": _endpoint(native_problem, _ANY_SCOPE, GET=native.show_model),
    }


def _v2_endpoints(v2: OpenInference) -> dict[str, Endpoint]:
    paths = {
        "/v2": _endpoint(v2_error, None, GET=v2.describe_server),
        "/v2/health/live": _endpoint(v2_error, None, GET=v2.live),
        "/v2/health/ready": _endpoint(v2_error, None, GET=v2.ready),
        "/v2/models": _endpoint(v2_error, _ANY_SCOPE, GET=v2.list_models),
        "/v2/repository/index": _endpoint(v2_error, _ANY_SCOPE, POST=v2.index),
    }
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        paths[model] = _endpoint(v2_error, _ANY_SCOPE, GET=v2.describe_model)
        paths[f"{model}/ready"] = _endpoint(v2_error, None, GET=v2.model_ready)
        paths[f"{model}/infer"] = _endpoint(v2_error, frozenset({PREDICT}), POST=v2.infer)
    return paths


def _endpoint(refuse: Refuse, scopes: frozenset[str] | None, **methods: Handler) -> Endpoint:
    return Endpoint(methods=methods, refuse=refuse, scopes=scopes)


def _dialect_of(path: str) -> Refuse:
    """How the dialect that a path belongs to writes an error down."""
    return v2_error if path.strip("/").split("/")[0] == "v2" else native_problem


@asynccontextmanager
async def _lifespan(desk: Desk, router: Router, refusals: Refusals) -> AsyncIterator[None]:
    """Load what is deployed, then follow changes until the end; what was refused is recorded last."""
    await asyncio.to_thread(_follow, router, refusals)
    _create_series(desk.counts, router)
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


def _refuse_unrouted(request: Request[Any, Any, Any], exc: HTTPException) -> Response[bytes]:
    """What Litestar itself refuses, such as a malformed Host header, in the shape of the path's dialect."""
    answer_id = find_request_id(dict(request.scope["headers"])) or new_request_id(time.time_ns() // 1000)
    refusal = _dialect_of(request.scope["path"])(
        BadField(field="headers", found=exc.detail, accepted="an HTTP request with a valid Host header"), answer_id
    )
    return Response(
        refusal.body, status_code=400, media_type=refusal.content_type.decode(), headers={"x-request-id": answer_id}
    )


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
