"""Models, versions and deployments over HTTP."""

from __future__ import annotations

from typing import Literal

import msgspec
from litestar import MediaType, Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from appliance.deployments import Deployment
from appliance.errors import BadInput, Conflict
from appliance.house import Appliance
from appliance.model_card import ModelCard
from appliance.model_spec import ModelSpec
from appliance.models import ModelInfo, Proposal, VersionInfo
from appliance.permissions import Caller

CARD_POLICY = (
    "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
"""A bundle may come from another box, so its page is not trusted: no script, no form, no origin of ours."""


class Start(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to train: on the dataset's newest snapshot unless ``dataset_version`` says which."""

    dataset_version: int | None = None


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """A job that was started; follow it at ``/api/jobs/{job_id}``."""

    job_id: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall serve.

    Attributes:
        version: The champion when left out; of a canary or shadow the one that stands, else the newest.
        role: ``champion``, ``canary`` or ``shadow``.
        percent: A canary's share of the requests, 1 to 99.
    """

    version: int | None = None
    role: Literal["champion", "canary", "shadow"] = "champion"
    percent: int | None = None
    reason: str = ""


class Why(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For the history."""

    reason: str = ""


class Back(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shall be taken back.

    Attributes:
        version: Only if this version is the canary, or without one the champion; any when left out.
    """

    reason: str = ""
    version: int | None = None


@get("/models", sync_to_thread=True)
def list_models(appliance: NamedDependency[Appliance]) -> list[ModelInfo]:
    """Every declared model."""
    return list(appliance.models.list())


@get("/proposals", sync_to_thread=True)
def propose(appliance: NamedDependency[Appliance], dataset: FromQuery[str], target: FromQuery[str]) -> Proposal:
    """A declaration for a dataset and a target, and why it looks as it does."""
    return appliance.models.propose(dataset, target)


@post("/models", sync_to_thread=True, status_code=201)
def create(
    appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], data: JSONBody[ModelSpec]
) -> ModelInfo:
    """Declare a new model."""
    return appliance.models.create(data, who=caller.name)


@put("/models/{name:str}", sync_to_thread=True)
def apply(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[ModelSpec],
) -> ModelInfo:
    """Declare a model or change its declaration; the name of the address counts."""
    return appliance.models.apply(msgspec.structs.replace(data, name=name), who=caller.name)


@get("/models/{name:str}", sync_to_thread=True)
def show(appliance: NamedDependency[Appliance], name: FromPath[str]) -> ModelInfo:
    """One model."""
    return appliance.models.get(name)


@get("/models/{name:str}/versions", sync_to_thread=True)
def versions(appliance: NamedDependency[Appliance], name: FromPath[str]) -> list[VersionInfo]:
    """Its versions, newest first."""
    return list(appliance.models.versions(name))


@get("/models/{name:str}/card", sync_to_thread=True)
def card(
    appliance: NamedDependency[Appliance], name: FromPath[str], version: FromQuery[int | None] = None
) -> ModelCard:
    """A version's card."""
    return appliance.models.card(name, version)


@get("/models/{name:str}/card.html", sync_to_thread=True, media_type=MediaType.HTML)
def card_page(
    appliance: NamedDependency[Appliance], name: FromPath[str], version: FromQuery[int | None] = None
) -> Response[str]:
    """The same as one HTML page, as it lies in the bundle; the browser lets it run and load nothing."""
    return Response(
        appliance.models.card_page(name, version), media_type=MediaType.HTML,
        headers={"Content-Security-Policy": CARD_POLICY, "X-Content-Type-Options": "nosniff"},
    )  # fmt: skip


@post("/models/{name:str}/train", sync_to_thread=True, status_code=202)
def train(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[Start | None] = None,
) -> Started:
    """Start a training."""
    version = data.dataset_version if data else None
    return Started(job_id=appliance.jobs.start_training(name, who=caller.name, version=version))


@post("/models/{name:str}/retrain", sync_to_thread=True, status_code=202)
def retrain(appliance: NamedDependency[Appliance], caller: NamedDependency[Caller], name: FromPath[str]) -> Started:
    """Collect the labelled predictions into a new snapshot and train on all."""
    return Started(job_id=appliance.jobs.start_retraining(name, who=caller.name))


@post("/models/{name:str}/deploy", sync_to_thread=True, status_code=200)
def deploy(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[Wanted | None] = None,
) -> Deployment:
    """Let a version serve, to all, to a share of the requests (canary), or in the shadow."""
    wanted = data or Wanted()
    deployments, who = appliance.deployments, caller.name
    if wanted.role == "canary":
        if wanted.percent is None:
            raise BadInput("a canary needs 'percent', its share of the requests; accepted: 1 to 99")
        return deployments.start_canary(name, wanted.percent, wanted.version, who=who, reason=wanted.reason)
    if wanted.percent is not None:
        raise BadInput(f"'percent' is a canary's share; the role asked for is {wanted.role}")
    if wanted.role == "shadow":
        return deployments.start_shadow(name, wanted.version, who=who, reason=wanted.reason)
    return deployments.deploy(name, wanted.version, who=who, reason=wanted.reason)


@post("/models/{name:str}/promote", sync_to_thread=True, status_code=200)
def promote(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[Why | None] = None,
) -> Deployment:
    """Make the canary, or without one the shadow, the champion."""
    return appliance.deployments.promote(name, who=caller.name, reason=data.reason if data else "")


@post("/models/{name:str}/end/{role:str}", sync_to_thread=True, status_code=200)
def end(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    role: FromPath[str],
    data: JSONBody[Why | None] = None,
) -> Deployment:
    """End the canary or the shadow."""
    return appliance.deployments.end(name, role, who=caller.name, reason=data.reason if data else "")


@post("/models/{name:str}/rollback", sync_to_thread=True, status_code=200)
def rollback(
    appliance: NamedDependency[Appliance],
    caller: NamedDependency[Caller],
    name: FromPath[str],
    data: JSONBody[Back | None] = None,
) -> Deployment:
    """End a standing canary; without one, let the version serve again that served before."""
    asked = data or Back()
    standing = appliance.deployments.rolled_back(name)
    if asked.version is not None and (standing is None or standing.version != asked.version):
        now = f"version {standing.version} as the {standing.role}" if standing else "nothing"
        raise Conflict(
            f"version {asked.version} of {name!r} is not what a rollback takes back: {now} stands; look again"
        )
    return appliance.deployments.rollback(
        name, who=caller.name, reason=asked.reason, expected=standing if asked.version is not None else None
    )  # fmt: skip


@get("/deployments", sync_to_thread=True)
def current(appliance: NamedDependency[Appliance]) -> list[Deployment]:
    """What serves now."""
    return list(appliance.deployments.current())


@get("/models/{name:str}/deployments", sync_to_thread=True)
def history(appliance: NamedDependency[Appliance], name: FromPath[str]) -> list[Deployment]:
    """All deployments of a model, newest first."""
    return list(appliance.deployments.history(name))


MODEL_ROUTES = (
    list_models, propose, create, apply, show, versions, card, card_page, train, retrain, deploy, promote, end,
    rollback, current, history,
)  # fmt: skip
