"""Addresses to paste work from where the browser runs: its host name, and TLS where it came over TLS."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest
from starlette.requests import HTTPConnection

from appliance.settings import Settings
from tests.ui.dashboard import PASSWORD, log_in, serve_dashboard
from ui.addresses import Addresses, addresses_for

PLAIN = Settings(listen="0.0.0.0", api_port=8000, ui_port=8080)  # noqa: S104  (nothing is bound)
TLS = Settings(listen="127.0.0.1", tls_cert=Path("/etc/appliance/tls.pem"), tls_api_port=8443, tls_ui_port=8444)


def came(host: str, scheme: str = "http") -> HTTPConnection:
    headers = [(b"host", host.encode())] if host else []
    server = ("127.0.0.1", 8080)
    return HTTPConnection({"type": "http", "scheme": scheme, "path": "/", "headers": headers, "server": server})


@pytest.mark.parametrize(
    ("settings", "host", "scheme", "api", "control"),
    [
        (PLAIN, "box.example:8080", "http", "http://box.example:8000", "http://box.example:8080"),
        (PLAIN, "192.0.2.7:8080", "http", "http://192.0.2.7:8000", "http://192.0.2.7:8080"),
        (PLAIN, "[2001:db8::7]:8080", "http", "http://[2001:db8::7]:8000", "http://[2001:db8::7]:8080"),
        (PLAIN, "", "http", "http://127.0.0.1:8000", "http://127.0.0.1"),
        (PLAIN, "box.example:none", "http", "http://box.example:8000", "http://box.example"),
        (PLAIN, "[broken", "http", "http://127.0.0.1:8000", "http://127.0.0.1"),
        # Our own TLS ports stand before the plain ones and hand on the host as it was asked for.
        (TLS, "box.example:8444", "http", "https://box.example:8443", "https://box.example:8444"),
        (TLS, "localhost:8080", "http", "http://localhost:8000", "http://localhost:8080"),
        # Somebody else's proxy: its own address is known, where it has the inference API is not.
        (PLAIN, "mlops.example", "https", "http://mlops.example:8000", "https://mlops.example"),
        (TLS, "mlops.example", "https", "https://mlops.example:8443", "https://mlops.example"),
    ],
)
def test_addresses_are_those_of_the_browser(settings: Settings, host: str, scheme: str, api: str, control: str) -> None:
    assert addresses_for(came(host, scheme), settings) == Addresses(api=api, control=control)


def test_the_page_settings_prints_the_address_that_was_asked_for(tmp_path: Path) -> None:
    with serve_dashboard(tmp_path / "state") as dashboard, httpx.Client(base_url=dashboard.url, timeout=30) as client:
        first = dashboard.one_time_password()
        log_in(client, first)
        client.post("/password", data={"old": first, "new": PASSWORD, "again": PASSWORD})
        host = f"box.example:{dashboard.port}"
        page = client.get("/settings?tab=about", headers={"Host": host, "Cookie": cookies_of(client)})
        assert f"http://{host}/api/schema" in page.text
        assert "http://box.example:8000/docs" in page.text


def cookies_of(client: httpx.Client) -> str:
    """As a browser that knows the host under the other name would send them."""
    return "; ".join(f"{name}={value}" for name, value in client.cookies.items())
