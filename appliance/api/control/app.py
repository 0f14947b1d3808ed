"""The control API as a Litestar application, to be mounted under ``/api``."""

from __future__ import annotations

from litestar import Litestar, get
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig

from appliance.api.control.access_routes import ACCESS_ROUTES
from appliance.api.control.bodies import JsonRequest
from appliance.api.control.channel_routes import CHANNEL_ROUTES
from appliance.api.control.dataset_routes import DATASET_ROUTES
from appliance.api.control.description import Description
from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.feed_routes import FEED_ROUTES
from appliance.api.control.host_routes import HOST_ROUTES
from appliance.api.control.identity import Guard, provide_caller
from appliance.api.control.job_routes import JOB_ROUTES
from appliance.api.control.model_routes import MODEL_ROUTES
from appliance.api.control.monitoring_routes import MONITORING_ROUTES
from appliance.api.control.parameters import require_known
from appliance.api.control.prediction_routes import PREDICTION_ROUTES
from appliance.api.control.problems import STATUS, answer_http, answer_known, answer_unexpected
from appliance.api.control.query_routes import QUERY_ROUTES
from appliance.api.control.upkeep_routes import UPKEEP_ROUTES
from appliance.house import Appliance

VERSION = "0.1.0"


@get("/health", opt={"open": True}, sync_to_thread=False)
def health() -> dict[str, str]:
    """The dashboard's process answers; open to everybody, and says nothing else."""
    return {"status": "ok"}


def create_control_app(appliance: Appliance, doorkeeper: Doorkeeper, *, session_key: str = "login") -> Litestar:
    """The application; ``session_key`` is where the dashboard's signed cookie keeps the session's token."""

    async def provide_appliance() -> Appliance:
        return appliance

    async def provide_doorkeeper() -> Doorkeeper:
        return doorkeeper

    return Litestar(
        route_handlers=[
            health, *DATASET_ROUTES, *QUERY_ROUTES, *FEED_ROUTES, *MODEL_ROUTES, *MONITORING_ROUTES, *CHANNEL_ROUTES,
            *JOB_ROUTES, *PREDICTION_ROUTES, *ACCESS_ROUTES, *HOST_ROUTES,
            *UPKEEP_ROUTES,
        ],
        request_class=JsonRequest,
        guards=[Guard(doorkeeper, session_key=session_key), require_known],
        dependencies={
            "caller": Provide(provide_caller, use_cache=False),
            "appliance": Provide(provide_appliance, use_cache=True),
            "doorkeeper": Provide(provide_doorkeeper, use_cache=True),
        },
        exception_handlers={
            **dict.fromkeys(STATUS, answer_known), HTTPException: answer_http, Exception: answer_unexpected,
        },
        openapi_config=OpenAPIConfig(
            title="MLOps appliance, control API", version=VERSION, path="/schema",
            render_plugins=[Description(path=("/", "/openapi.json"))],
        ),
        request_max_body_size=appliance.settings.max_body_bytes,
        debug=False,
    )  # fmt: skip
