"""The floor: a bare ASGI function on the same uvicorn that parses the same JSON and answers a constant."""

from __future__ import annotations

import os
import socket
from typing import Any

import msgspec
import uvicorn

_ANSWER = b'{"model":"bench","version":1,"request_id":"x","predictions":[{"id":"x","value":0.5,"flags":[]}]}'
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


def main() -> None:
    """Serve on the port that FLOOR_PORT names."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    listener.bind(("127.0.0.1", int(os.environ["FLOOR_PORT"])))
    listener.listen(2048)
    config = uvicorn.Config(
        make_app(), loop=os.environ.get("FLOOR_LOOP", "asyncio"), http="httptools", ws="none", log_config=None,
        access_log=False, server_header=False, proxy_headers=False,
    )  # fmt: skip
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
