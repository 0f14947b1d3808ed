"""A server at another address than loopback: a table to read, and a webhook that takes everything."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ADDRESS = ("10.9.8.7", 9000)
ROWS = "a,y\n" + "".join(f"{at % 7},{at % 5}.5\n" for at in range(99))


class Elsewhere(BaseHTTPRequestHandler):
    """Answers every GET with the table, and every POST with nothing."""

    def do_GET(self) -> None:
        """The table."""
        self._reply(ROWS.encode())

    def do_POST(self) -> None:
        """Taken."""
        self.rfile.read(int(self.headers["content-length"]))
        self._reply(b"")

    def _reply(self, content: bytes) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/csv")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


if __name__ == "__main__":
    ThreadingHTTPServer(ADDRESS, Elsewhere).serve_forever()
