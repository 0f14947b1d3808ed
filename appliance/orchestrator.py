"""The door to Prefect's REST API, with httpx alone: Prefect itself is imported by flows only."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import httpx
import msgspec

from appliance.errors import ApplianceError, NotFound, NotReady
from appliance.settings import Settings

DEPLOYMENT = "appliance"
"""The one Prefect deployment that each of our flows has."""

SCHEDULED, PENDING, RUNNING = "SCHEDULED", "PENDING", "RUNNING"
CANCELLING, CANCELLED, CRASHED, FAILED, COMPLETED = "CANCELLING", "CANCELLED", "CRASHED", "FAILED", "COMPLETED"
FINAL = frozenset({CANCELLED, CRASHED, FAILED, COMPLETED})
"""Prefect's state types."""

_PAGE = 200
_TIMEOUT_S = 20.0
_BUSY = frozenset({httpx.codes.SERVICE_UNAVAILABLE, httpx.codes.TOO_MANY_REQUESTS})
_BUSY_WAITS_S = (0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
"""Prefect answers 503 when its database was written by another at that moment, and means: ask again."""

T = TypeVar("T")


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """Where a flow run stands."""

    type: str
    name: str | None = None
    message: str | None = None


class FlowRun(msgspec.Struct, frozen=True, kw_only=True):
    """One run, as far as we read it; ``run_count`` says how often it began."""

    id: str
    name: str
    created: datetime
    parameters: dict[str, Any]
    tags: list[str]
    state: RunState | None
    start_time: datetime | None = None
    end_time: datetime | None = None
    next_scheduled_start_time: datetime | None = None
    run_count: int = 0


class LogRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a run's log; ``level`` as in ``logging``."""

    level: int
    message: str
    timestamp: datetime


class _Identified(msgspec.Struct, frozen=True):
    id: str


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """When a run is due; a second run with the same key is not created."""

    at: datetime
    key: str


class OrchestratorRefused(ApplianceError):
    """Prefect answered, but not as expected: another version, or a damaged store."""


class Orchestrator:
    """Prefect's server of one appliance.

    Every method raises NotReady when it does not answer.
    """

    def __init__(self, settings: Settings) -> None:
        # A connection a call: none is left open, and none is found closed after the server restarted.
        limits = httpx.Limits(max_keepalive_connections=0)
        self._client = httpx.Client(
            base_url=settings.orchestrator_url, timeout=_TIMEOUT_S, trust_env=False, limits=limits
        )

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def register(self, flow: str, *, schema: Mapping[str, object], entrypoint: str) -> str:
        """Make a flow and its deployment known, or change them; returns the deployment's id.

        Args:
            flow: Its name.
            schema: JSON schema of its parameters.
            entrypoint: For people who look at Prefect's own pages.
        """
        flow_id = self._post("/flows/", {"name": flow}, _Identified).id
        body = {
            "name": DEPLOYMENT, "flow_id": flow_id, "parameter_openapi_schema": schema, "entrypoint": entrypoint,
            "enforce_parameter_schema": True,
        }  # fmt: skip
        return self._post("/deployments/", body, _Identified).id

    def create_run(
        self, flow: str, *, name: str, parameters: Mapping[str, object], tags: Sequence[str], plan: Plan | None = None
    ) -> FlowRun:
        """Ask for a run of a flow, as soon as possible or as planned."""
        state: dict[str, object] = {"type": SCHEDULED}
        if plan is not None:
            state["state_details"] = {"scheduled_time": plan.at}
        body = {"name": name, "parameters": dict(parameters), "tags": list(tags), "state": state}
        return self._create_run(flow, body, key=None if plan is None else plan.key)

    def begin_run(self, flow: str, *, name: str, parameters: Mapping[str, object], tags: Sequence[str]) -> FlowRun:
        """A run of a flow that runs already, in the process that asks."""
        run = self._create_run(
            flow, {"name": name, "parameters": dict(parameters), "tags": list(tags), "state": {"type": PENDING}}
        )
        self.set_state(run.id, RUNNING, "")
        return run

    def forget_run(self, run_id: str) -> None:
        """Remove a run.

        Raises:
            NotFound: No such run.
        """
        self._call("DELETE", f"/flow_runs/{run_id}", None, None)

    def get_run(self, run_id: str) -> FlowRun:
        """One run.

        Raises:
            NotFound: No such run.
        """
        return self._call("GET", f"/flow_runs/{run_id}", None, FlowRun)

    def list_runs(self, *, limit: int) -> list[FlowRun]:
        """The newest runs that were asked for or have begun, newest first."""
        begun = [PENDING, RUNNING, CANCELLING, *sorted(FINAL)]
        asked = self._runs({"tags": {"all_": [DEPLOYMENT]}}, sort="EXPECTED_START_TIME_DESC", limit=limit)
        found = self._runs({"state": {"type": {"any_": begun}}}, sort="EXPECTED_START_TIME_DESC", limit=limit)
        by_id = {run.id: run for run in [*asked, *found]}
        return sorted(by_id.values(), key=lambda run: run.created, reverse=True)[:limit]

    def runs_in(self, *states: str) -> list[FlowRun]:
        """Up to 200 runs in one of the state types, the earliest due first."""
        return self._runs({"state": {"type": {"any_": list(states)}}}, sort="NEXT_SCHEDULED_START_TIME_ASC")

    def set_state(self, run_id: str, state: str, message: str, *, force: bool = False) -> bool:
        """Move a run to a state; False when Prefect's rules forbid it.

        Raises:
            NotFound: No such run.
        """
        proposed: dict[str, object] = {"type": state, "message": message}
        if state == PENDING:  # else it waits for its hour in its process, which a clock that was set back puts far off
            proposed["state_details"] = {"scheduled_time": datetime.now(UTC)}
        body = {"state": proposed, "force": force}
        answer = self._post(f"/flow_runs/{run_id}/set_state", body, dict[str, Any])
        return answer.get("status") == "ACCEPT"

    def _create_run(self, flow: str, body: Mapping[str, object], *, key: str | None = None) -> FlowRun:
        try:
            deployment = self._call("GET", f"/deployments/name/{flow}/{DEPLOYMENT}", None, _Identified)
        except NotFound as exc:
            raise NotReady("the runner has not started yet; wait a moment, or see 'appliance status'") from exc
        # With a key, asking again never makes a second run.
        body = {**body, "idempotency_key": key or uuid.uuid4().hex}
        return self._post(f"/deployments/{deployment.id}/create_flow_run", body, FlowRun)

    def logs(self, run_id: str, *, limit: int) -> list[LogRecord]:
        """The last ``limit`` lines of a run's log, oldest first."""
        found: list[LogRecord] = []
        while len(found) < limit:
            body = {
                "logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_DESC", "offset": len(found),
                "limit": min(_PAGE, limit - len(found)),
            }  # fmt: skip
            page = self._post("/logs/filter", body, list[LogRecord])
            found += page
            if len(page) < _PAGE:
                break
        return found[::-1]

    def _runs(self, flow_runs: dict[str, object], *, sort: str, limit: int = _PAGE) -> list[FlowRun]:
        body = {"flow_runs": flow_runs, "sort": sort, "limit": min(limit, _PAGE)}
        return self._post("/flow_runs/filter", body, list[FlowRun])

    def _post(self, path: str, body: object, answer: type[T]) -> T:
        return self._call("POST", path, body, answer)

    def _call(self, method: str, path: str, body: object, answer: type[T] | None) -> T:
        content = None if body is None else msgspec.json.encode(body)
        try:
            response = self._ask(method, path, content)
        except httpx.HTTPError as exc:
            raise NotReady(
                f"the orchestrator at {self._client.base_url} does not answer ({type(exc).__name__}); "
                "see 'appliance status', or start it with 'appliance up'"
            ) from exc
        if response.status_code == httpx.codes.NOT_FOUND:
            raise NotFound(f"the orchestrator does not know {path.rsplit('/', 1)[-1]!r}")
        if response.status_code in _BUSY:
            raise NotReady("the orchestrator is busy or starting; try again in a moment")
        if response.is_error:
            raise OrchestratorRefused(
                f"the orchestrator refused {method} {path} with {response.status_code}: {response.text[:300]}"
            )
        try:
            return msgspec.json.decode(response.content or b"null", type=answer)
        except msgspec.DecodeError as exc:
            raise OrchestratorRefused(f"the orchestrator answered {method} {path} unexpectedly: {exc}") from exc

    def _ask(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        """Its answer; while it is busy, asked again for three seconds."""
        for wait_s in (*_BUSY_WAITS_S, None):
            response = self._client.request(method, path, content=content, headers={"content-type": "application/json"})
            if response.status_code not in _BUSY or wait_s is None:
                break
            time.sleep(wait_s)
        return response
