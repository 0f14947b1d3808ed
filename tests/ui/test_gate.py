"""What the login says when it refuses: our own sentence with an id, never what an address has in it."""

from __future__ import annotations

import re
from pathlib import Path

import httpx

from tests.ui.dashboard import log_in, serve_dashboard


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
