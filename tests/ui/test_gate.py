"""What the login says when it refuses: our own sentence with an id, never what an address has in it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import httpx

from tests.ui.dashboard import PASSWORD, log_in, serve_dashboard


def test_the_login_says_what_it_refused_and_nothing_that_an_address_says(tmp_path: Path) -> None:
    with serve_dashboard(tmp_path / "state") as dashboard, httpx.Client(base_url=dashboard.url) as client:
        planted = "Your password has expired. Call 0190-123456"
        page = client.get("/login", params={"wrong": planted}).text
        assert "0190" not in page
        assert "That was refused; try again." in page
        refused = log_in(client, "guess").headers["location"]
        assert re.fullmatch(r"/login\?wrong=[0-9a-f]{16}&next=/", refused)
        said = client.get(refused).text
        assert re.search(r"wrong.*\(error [0-9a-f]{8}\)", said)
        log_in(client, dashboard.one_time_password())
        answer = client.post("/password", data={"old": "x", "new": "one password", "again": "another password"})
        assert re.search(r"differ.*\(error [0-9a-f]{8}\)", client.get(answer.headers["location"]).text)
        assert "0190" not in client.get("/password", params={"wrong": planted}).text


def peak_mb(pid: int) -> float:
    """The most memory that a process has had."""
    (line,) = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1_000


def test_a_form_from_anybody_takes_neither_disk_nor_memory(tmp_path: Path) -> None:
    state = tmp_path / "state"

    def endless() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\n'
        for _ in range(200):
            yield bytes(1 << 20)

    with serve_dashboard(state) as dashboard, httpx.Client(base_url=dashboard.url, timeout=60) as client:
        peak = peak_mb(dashboard.process.pid)
        plain = "application/x-www-form-urlencoded"
        for path in ("/login", "/password"):
            for kind in (plain, "multipart/form-data; boundary=x"):
                with suppress(httpx.HTTPError):  # the server need not listen to the end
                    client.post(path, content=endless(), headers={"content-type": kind})
                assert not [one for one in (state / "tmp").rglob("*") if one.is_file()]
        assert peak_mb(dashboard.process.pid) < peak + 60, "of 800 MB"
        unreadable = "could not be read"
        cases = ((b"name=a&password=" + b"x" * 20_000, plain, "too long"), (b"name=a", "text/plain", "urlencoded"),
                 (b"name=%ff", plain, unreadable), (b"&".join([b"a=1"] * 30), plain, unreadable))  # fmt: skip
        for content, kind, says in cases:
            answer = client.post("/login", content=content, headers={"content-type": kind})
            assert says in client.get(answer.headers["location"]).text
        assert log_in(client, dashboard.one_time_password()).headers["location"] == "/"


def test_a_link_is_followed_through_the_first_password(tmp_path: Path) -> None:
    link = "/data/houses?tab=sql&sql=SELECT%201"
    with serve_dashboard(tmp_path / "state") as dashboard, httpx.Client(base_url=dashboard.url) as client:
        first = dashboard.one_time_password()
        log_in(client, first)
        asked = client.get(link).headers["location"]
        assert asked.startswith("/password?next=")
        (hidden,) = re.findall(r'name=\\?"next\\?" value=\\?"([^"\\]*)', client.get(asked).text)
        sent = html.unescape(html.unescape(hidden))  # as markup, and once more as an element of NiceGUI's page
        form = {"old": first, "new": PASSWORD, "again": PASSWORD, "next": sent}
        again = client.post("/password", data=form | {"again": "another password"}).headers["location"]
        assert again.endswith(asked.partition("?")[2]), "also after a mistake"
        assert client.post("/password", data=form).headers["location"] == link
        away = {"old": PASSWORD, "new": PASSWORD + "x", "again": PASSWORD + "x", "next": "//elsewhere.example"}
        assert client.post("/password", data=away).headers["location"] == "/"
