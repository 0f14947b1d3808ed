"""Whether this process lives, and whether it can answer."""

from __future__ import annotations

import msgspec

from appliance.api.inference.exchange import Answer, Call, new_request_id
from appliance.api.inference.keys import KeyRing
from appliance.serving.capture import Capture
from appliance.serving.router import CHAMPION, Route, Router


class Health:
    """The native health routes.

    A process without a deployed model is ready: it would answer as soon as there is one. So is one that cannot write
    the event log, which its body says; one that cannot check API keys is not.
    """

    def __init__(self, router: Router, capture: Capture, keys: KeyRing) -> None:
        self._router = router
        self._capture = capture
        self._keys = keys

    def live(self, call: Call) -> Answer:
        """``GET /health/live``."""
        return Answer(body=b'{"status":"live"}', request_id=call.given_id or new_request_id(call.at_us))

    def ready(self, call: Call) -> Answer:
        """``GET /health/ready``: each deployed model, and what keeps this process from answering."""
        current = self._router.current
        problems = [found for found in (self._keys.problem, self._capture.problem, current.problem) if found]
        ready = not self._keys.problem
        content = {
            "status": "ready" if ready else "not ready",
            "models": [_describe(route) for route in current.routes.values()],
            "capture": "off" if self._capture.problem else "on",
            "problems": problems,
        }
        return Answer(
            body=msgspec.json.encode(content), status=200 if ready else 503,
            request_id=call.given_id or new_request_id(call.at_us),
        )  # fmt: skip


def _describe(route: Route) -> dict[str, object]:
    serving = route.champion.version if route.champion else None
    state = "ready" if serving == route.wanted else "behind" if serving else "refused"
    beside = {role: one for role, one in route.refusals.items() if role != CHAMPION}
    return {
        "name": route.name,
        "version": serving,
        "deployed": route.wanted,
        "state": state,
        **({"reason": route.refused} if route.refused else {}),
        **{role: {"version": one.version, "state": "refused", "reason": one.reason} for role, one in beside.items()},
    }
