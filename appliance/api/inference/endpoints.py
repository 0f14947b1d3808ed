"""Every path of every dialect: who answers it, who may ask, and how it refuses."""

from __future__ import annotations

from appliance import __version__
from appliance.api.inference.config import ApiConfig
from appliance.api.inference.documentation import Documentation
from appliance.api.inference.exchange import Desk, Endpoint, Handler, Refuse
from appliance.api.inference.exposition import Exposition
from appliance.api.inference.health import Health
from appliance.api.inference.keys import LABEL, PREDICT, READ
from appliance.api.inference.native import Native
from appliance.api.inference.openinference import OpenInference
from appliance.api.inference.predictor import Predictor
from appliance.api.inference.problems import error_member, native_problem
from appliance.serving.router import Router
from appliance.serving.scoring import Scorer

_ANY_SCOPE = frozenset({PREDICT, LABEL, READ})
_MAY_PREDICT = frozenset({PREDICT})

_REFUSALS: dict[str, Refuse] = {"v2": error_member}
"""A path's first segment to how its dialect writes an error down; every other path is native."""


def list_endpoints(config: ApiConfig, router: Router, scorer: Scorer, desk: Desk) -> dict[str, Endpoint]:
    """Path template to what answers it."""
    predictor = Predictor(router, scorer, max_rows=config.max_rows, default_model=config.default_model)
    health = Health(router, desk.capture, desk.keys)
    exposition = Exposition(router, desk.capture, desk.counts, workers=config.workers, version=__version__)
    documentation = Documentation(router)
    return {
        **_native_endpoints(Native(predictor)),
        **_v2_endpoints(OpenInference(predictor)),
        "/health/live": _endpoint(native_problem, None, GET=health.live),
        "/health/ready": _endpoint(native_problem, None, GET=health.ready),
        "/metrics": _endpoint(native_problem, frozenset({READ}), GET=exposition.scrape),
        "/docs": _endpoint(native_problem, None, GET=documentation.page),
        "/openapi.json": _endpoint(native_problem, None, GET=documentation.document),
    }


def refusal_of(path: str) -> Refuse:
    """How the dialect that a path belongs to writes an error down."""
    return _REFUSALS.get(path.strip("/").split("/")[0], native_problem)


def _native_endpoints(native: Native) -> dict[str, Endpoint]:
    return {
        "/models/{model}/predict": _endpoint(native_problem, _MAY_PREDICT, POST=native.predict),
        "/models/{model}/labels": _endpoint(native_problem, frozenset({LABEL}), POST=native.label),
        "/models": _endpoint(native_problem, _ANY_SCOPE, GET=native.list_models),
        "/models/{model}": _endpoint(native_problem, _ANY_SCOPE, GET=native.show_model),
    }


def _v2_endpoints(v2: OpenInference) -> dict[str, Endpoint]:
    paths = {
        "/v2": _endpoint(error_member, None, GET=v2.describe_server),
        "/v2/health/live": _endpoint(error_member, None, GET=v2.live),
        "/v2/health/ready": _endpoint(error_member, None, GET=v2.ready),
        "/v2/models": _endpoint(error_member, _ANY_SCOPE, GET=v2.list_models),
        "/v2/repository/index": _endpoint(error_member, _ANY_SCOPE, POST=v2.index),
    }
    for model in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        paths[model] = _endpoint(error_member, _ANY_SCOPE, GET=v2.describe_model)
        paths[f"{model}/ready"] = _endpoint(error_member, None, GET=v2.model_ready)
        paths[f"{model}/infer"] = _endpoint(error_member, _MAY_PREDICT, POST=v2.infer)
    return paths


def _endpoint(refuse: Refuse, scopes: frozenset[str] | None, **methods: Handler) -> Endpoint:
    return Endpoint(methods=methods, refuse=refuse, scopes=scopes)
