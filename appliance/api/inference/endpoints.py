"""Every path of every dialect: who answers it, who may ask, and how it refuses."""

from __future__ import annotations

from appliance import __version__
from appliance.api.inference.config import ApiConfig, VertexRoutes
from appliance.api.inference.documentation import Documentation
from appliance.api.inference.exchange import Desk, Endpoint, Handler, Refuse
from appliance.api.inference.exposition import Exposition
from appliance.api.inference.health import Health
from appliance.api.inference.invocations import Invocations
from appliance.api.inference.keys import LABEL, PREDICT, READ
from appliance.api.inference.native import Native
from appliance.api.inference.openinference import OpenInference
from appliance.api.inference.predictor import Predictor
from appliance.api.inference.problems import error_member, mlflow_error, native_problem
from appliance.api.inference.v1 import V1
from appliance.serving.router import Router
from appliance.serving.scoring import Scorer

_ANY_SCOPE = frozenset({PREDICT, LABEL, READ})
_MAY_PREDICT = frozenset({PREDICT})

_REFUSALS: dict[str, Refuse] = {
    "v1": error_member, "v2": error_member,
    "invocations": mlflow_error, "ping": mlflow_error, "version": mlflow_error,
}  # fmt: skip
"""How a path's dialect writes an error down, by its first segment; ``/health`` alone is MLflow's, the rest native."""


def list_endpoints(config: ApiConfig, router: Router, scorer: Scorer, desk: Desk) -> dict[str, Endpoint]:
    """Path template to what answers it."""
    predictor = Predictor(router, scorer, max_rows=config.max_rows, default_model=config.default_model)
    health = Health(router, desk.capture, desk.keys)
    exposition = Exposition(router, desk.capture, desk.counts, workers=config.workers, version=__version__)
    documentation = Documentation(router)
    v1, invocations = V1(predictor), Invocations(predictor, desk.keys)
    own = {
        **_native_endpoints(Native(predictor)),
        **_v2_endpoints(OpenInference(predictor)),
        **_v1_endpoints(v1),
        **_mlflow_endpoints(invocations),
        "/health/live": _endpoint(native_problem, None, GET=health.live),
        "/health/ready": _endpoint(native_problem, None, GET=health.ready),
        "/metrics": _endpoint(native_problem, frozenset({READ}), GET=exposition.scrape),
        "/docs": _endpoint(native_problem, None, GET=documentation.page),
        "/openapi.json": _endpoint(native_problem, None, GET=documentation.document),
    }
    # What Vertex AI chose comes last: a path of ours keeps its own meaning.
    return own | {
        path: found for path, found in _vertex_endpoints(config.vertex, v1, invocations).items() if path not in own
    }


def refusal_of(path: str) -> Refuse:
    """How the dialect that a path belongs to writes an error down."""
    inner = path.strip("/")
    return mlflow_error if inner == "health" else _REFUSALS.get(inner.split("/")[0], native_problem)


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


def _v1_endpoints(v1: V1) -> dict[str, Endpoint]:
    paths = {"/v1/models": _endpoint(error_member, _ANY_SCOPE, GET=v1.list_models)}
    for model in ("/v1/models/{model}", "/v1/models/{model}/versions/{version}"):
        paths[model] = _endpoint(error_member, _ANY_SCOPE, GET=v1.describe_model)
        paths[f"{model}:predict"] = _endpoint(error_member, _MAY_PREDICT, POST=v1.predict)
        paths[f"{model}:explain"] = _endpoint(error_member, _MAY_PREDICT, POST=v1.explain)
    return paths


def _mlflow_endpoints(invocations: Invocations) -> dict[str, Endpoint]:
    return {
        "/ping": _endpoint(mlflow_error, None, GET=invocations.ping),
        "/health": _endpoint(mlflow_error, None, GET=invocations.ping),
        "/version": _endpoint(mlflow_error, None, GET=invocations.version),
        "/invocations": _endpoint(mlflow_error, _MAY_PREDICT, POST=invocations.invoke),
    }


def _vertex_endpoints(routes: VertexRoutes, v1: V1, invocations: Invocations) -> dict[str, Endpoint]:
    paths = {}
    if routes.health:
        paths[routes.health] = _endpoint(error_member, None, GET=invocations.ping)
    if routes.predict:
        paths[routes.predict] = _endpoint(error_member, _MAY_PREDICT, POST=v1.predict_default)
    return paths


def _endpoint(refuse: Refuse, scopes: frozenset[str] | None, **methods: Handler) -> Endpoint:
    return Endpoint(methods=methods, refuse=refuse, scopes=scopes)
