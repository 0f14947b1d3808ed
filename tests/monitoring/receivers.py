"""Real receivers of alerts on loopback: an HTTP server and a mail server that keep what they are sent."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Received:
    """One HTTP request."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Hook:
    """An HTTP server; answers with ``statuses`` one after the other, the last for good, while ``open`` is set."""

    port: int = 0
    statuses: list[int] = field(default_factory=lambda: [204])
    received: list[Received] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/tok-5ecret-path"


@contextmanager
def http_receiver(*statuses: int) -> Iterator[Hook]:
    hook = Hook(statuses=list(statuses) or [204])
    hook.open.set()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            hook.received.append(
                Received(path=self.path, headers={k.lower(): v for k, v in self.headers.items()}, body=body)
            )
            hook.open.wait()
            status = hook.statuses.pop(0) if len(hook.statuses) > 1 else hook.statuses[0]
            with suppress(OSError):  # who asked may be dead by now
                self._answer(status)

        def _answer(self, status: int) -> None:
            self.send_response(status)
            if status == 302:
                self.send_header("location", f"http://127.0.0.1:{hook.port}/elsewhere")
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  (the signature is Python's)
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hook.port = server.server_address[1]
    with _serving(server):
        yield hook


@dataclass(slots=True)
class Mailbox:
    """A mail server; ``refuses``: it takes no recipient."""

    port: int = 0
    refuses: bool = False
    mails: list[str] = field(default_factory=list)


@contextmanager
def mail_receiver(*, refuses: bool = False) -> Iterator[Mailbox]:
    box = Mailbox(refuses=refuses)

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 here")
            while line := self.rfile.readline().decode().strip():
                word = line.split(" ")[0].split(":")[0].upper()
                if word == "DATA":
                    self._say("354 go on")
                    box.mails.append(self._read_mail())
                    self._say("250 kept")
                elif word == "QUIT":
                    self._say("221 bye")
                    return
                else:
                    self._say("550 no such user" if word == "RCPT" and box.refuses else "250 fine")

        def _read_mail(self) -> str:
            lines = []
            while (line := self.rfile.readline().decode()) not in {".\r\n", ""}:
                lines.append(line)
            return "".join(lines)

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    box.port = server.server_address[1]
    with _serving(server):
        yield box


@contextmanager
def _serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
