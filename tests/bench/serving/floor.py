"""The floor: a bare ASGI function that parses the same JSON and answers a constant."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.bench.serving.server import serve_app

_ANSWER = b'{"model":"small","version":1,"request_id":"x","predictions":[{"id":"x","value":0.5,"flags":[]}]}'
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(_ANSWER))]


def make_app() -> Any:
    """The application."""
    decode = msgspec.json.Decoder().decode

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            while True:
                message = await receive()
                await send({"type": f"{message['type']}.complete"})
                if message["type"] == "lifespan.shutdown":
                    return
        message = await receive()
        if scope["method"] == "POST":
            decode(message["body"])
        await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        await send({"type": "http.response.body", "body": _ANSWER})

    return app


if __name__ == "__main__":
    serve_app(make_app())
