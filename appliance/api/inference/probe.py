"""The self-probe: whether this very process still answers, which a request to the shared port could not tell."""

from __future__ import annotations

import asyncio
import socket
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

from appliance.serving.lightgbm_c import Booster
from appliance.serving.router import Router

if TYPE_CHECKING:
    import uvicorn

ANSWER_S = 5.0
"""Within which the process must answer its own request."""

_REQUEST = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Probe:
    """Asks over a connection of its own, and lets every version score its example again."""

    def __init__(self, server: uvicorn.Server, router: Router) -> None:
        self._server = server
        self._router = router
        self._expected: WeakKeyDictionary[Booster, list[float]] = WeakKeyDictionary()

    async def check(self) -> str:
        """What is wrong with this process, in a sentence; empty when it answers."""
        try:
            answer = await asyncio.wait_for(self._ask(), ANSWER_S)
        except TimeoutError:
            return f"no answer within {ANSWER_S:.0f} s"
        except (OSError, EOFError, asyncio.LimitOverrunError) as exc:
            return f"the request failed: {exc}"
        if not answer.startswith(b"HTTP/1.1 200 "):
            return f"the answer is {answer[:80]!r}"
        return self._score()

    async def _ask(self) -> bytes:
        """The head of the answer to a request through our own protocol."""
        ours, theirs = socket.socketpair()
        with ours:  # the end of the process may cancel this at any await
            server = self._server
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: server.config.http_protocol_class(  # type: ignore[call-arg]  # uvicorn calls it so, too
                    config=server.config, server_state=server.server_state, app_state=server.lifespan.state
                ),
                theirs,
            )
            reader, writer = await asyncio.open_connection(sock=ours)
            try:
                writer.write(_REQUEST)
                return await reader.readuntil(b"\r\n\r\n")
            finally:
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()

    def _score(self) -> str:
        """Hold each version's score of its example against the first one, to the bit; it warms this thread, too."""
        for route in self._router.current.routes.values():
            for model in route.loaded:
                row = model.encoder.encode([model.example]).matrix[0].tolist()
                try:
                    found, _ = model.score_one(row)
                except RuntimeError as exc:
                    return f"version {model.version} of {model.name}: {exc}"
                expected = self._expected.setdefault(model.booster, found)
                if repr(found) != repr(expected):
                    return f"version {model.version} of {model.name} scores {found}, and before {expected}"
        return ""
