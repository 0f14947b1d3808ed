"""The dashboard's process: login, cookies, what it refuses, how it ends."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import polars as pl
import pytest

from appliance.errors import BadSetting
from appliance.schema import Column, FeatureSchema, Kind, Task
from appliance.settings import Settings
from tests.monitoring.traffic import publish, training_frame
from tests.served_api import free_port
from tests.ui.dashboard import PASSWORD, Dashboard, environment, log_in, serve_dashboard
from ui.app import without_crowded_guests
from ui.guests import list_guests


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:
    with serve_dashboard(tmp_path_factory.mktemp("dashboard") / "state") as running:
        yield running


@pytest.fixture
def browser(dashboard: Dashboard) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=dashboard.url, timeout=30) as client:
        yield client


@pytest.fixture(scope="module")
def admin(dashboard: Dashboard) -> Iterator[httpx.Client]:
    """Somebody who went through the first login."""
    with httpx.Client(base_url=dashboard.url, timeout=30) as client:
        first = dashboard.one_time_password()
        assert log_in(client, first).status_code == 303
        assert client.get("/").headers["location"] == "/password"
        refused = client.get("/api/models")
        assert refused.status_code == 403
        assert "one-time" in refused.json()["detail"]
        answer = client.post("/password", data={"old": first, "new": PASSWORD, "again": PASSWORD})
        assert answer.headers["location"] == "/"
        assert client.get("/").status_code == 200
        yield client


def test_the_one_time_password_works_once(dashboard: Dashboard, admin: httpx.Client) -> None:
    assert not (dashboard.state / "admin-password").exists()
    with httpx.Client(base_url=dashboard.url) as another:
        assert log_in(another, PASSWORD).headers["location"] == "/"
        assert another.get("/api/status").json()["role"] == "admin"


def test_pages_ask_for_a_login_and_come_back(browser: httpx.Client, admin: httpx.Client) -> None:
    answer = browser.get("/data?tab=rows")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/login?next=/data%3Ftab%3Drows"
    answer = browser.post("/login", data={"name": "admin", "password": PASSWORD, "next": "/data?tab=rows"})
    assert answer.headers["location"] == "/data?tab=rows"


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"]
)
def test_a_login_leads_nowhere_else(browser: httpx.Client, admin: httpx.Client, target: str) -> None:
    answer = browser.post("/login", data={"name": "admin", "password": PASSWORD, "next": target})
    assert answer.headers["location"] == "/"


def test_the_cookie_is_for_this_browser_alone(browser: httpx.Client, admin: httpx.Client) -> None:
    planted = browser.get("/login").headers["set-cookie"].split(";")[0]
    answer = log_in(browser, PASSWORD)
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    with httpx.Client(base_url=str(browser.base_url), headers={"cookie": planted}) as attacker:
        assert attacker.get("/api/status").status_code == 401


def test_nothing_may_be_loaded_from_or_framed_by_another_host(browser: httpx.Client) -> None:
    policy = browser.get("/login").headers["content-security-policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "http" not in policy


def test_a_page_of_another_site_does_nothing(browser: httpx.Client, admin: httpx.Client) -> None:
    foreign = {"origin": "https://evil.example"}
    answer = browser.post("/login", data={"name": "admin", "password": PASSWORD}, headers=foreign)
    assert "wrong=" in answer.headers["location"]
    answer = admin.post("/api/keys", json={"name": "stolen", "scope": "admin"}, headers=foreign)
    assert answer.status_code == 403
    assert admin.get("/api/keys").json() == []


def test_logging_out_ends_the_session(dashboard: Dashboard, admin: httpx.Client) -> None:
    with httpx.Client(base_url=dashboard.url) as client:
        log_in(client, PASSWORD)
        cookies = dict(client.cookies)
        assert client.post("/logout").status_code == 303
        assert client.get("/api/status").status_code == 401
        client.cookies.clear()
        assert httpx.get(f"{dashboard.url}/api/status", cookies=cookies).status_code == 401


def test_a_new_password_ends_the_other_sessions(dashboard: Dashboard, admin: httpx.Client) -> None:
    key = admin.post("/api/keys", json={"name": "users", "scope": "admin"}).json()
    assert key["scope"] == "admin"
    with httpx.Client(base_url=dashboard.url) as other:
        log_in(other, PASSWORD)
        assert other.get("/api/status").is_success
        changed = admin.post("/password", data={"old": PASSWORD, "new": PASSWORD + "x", "again": PASSWORD + "x"})
        assert changed.headers["location"] == "/"
        assert other.get("/api/status").status_code == 401
        assert admin.get("/api/status").is_success
    admin.post("/password", data={"old": PASSWORD + "x", "new": PASSWORD, "again": PASSWORD})


def test_sessions_survive_a_restart_and_guessing_is_slowed_down(tmp_path: Path) -> None:
    state = tmp_path / "state"
    with serve_dashboard(state) as first, httpx.Client(base_url=first.url) as client:
        password = first.one_time_password()
        log_in(client, password)
        client.post("/password", data={"old": password, "new": PASSWORD, "again": PASSWORD})
        kept = dict(client.cookies)
        assert first.stop() == 0, "SIGTERM is the ordinary way to end"
    with serve_dashboard(state) as second:
        # The cookie is named after the port, which is another one here.
        renamed = {f"appliance_{second.port}": value for value in kept.values()}
        assert httpx.get(f"{second.url}/api/status", cookies=renamed).is_success
        with httpx.Client(base_url=second.url) as guesser:
            for _ in range(5):
                assert "wrong=" in log_in(guesser, "guess").headers["location"]
            waits = log_in(guesser, PASSWORD).headers["location"]
            assert "too many" in guesser.get(waits).text, "now the right one has to wait too"
    assert not list(Path.cwd().glob(".nicegui")), "NiceGUI's own files belong below the state directory"


def test_a_taken_port_is_said_in_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [sys.executable, "-m", "ui.app"], env=environment(tmp_path / "state", port), capture_output=True,
            timeout=60, check=False, text=True,
        )  # fmt: skip
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "APPLIANCE_UI_PORT" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_guest_whose_port_nobody_chose_is_left_out_where_something_has_it(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        found = without_crowded_guests(Settings(state=tmp_path, ui_mlflow_port=0, ui_prefect_port=free_port()))
        assert [guest.name for guest in list_guests(found)] == ["prefect"]
        with pytest.raises(BadSetting, match="APPLIANCE_UI_PREFECT_PORT"):
            without_crowded_guests(Settings(state=tmp_path, ui_mlflow_port=0, ui_prefect_port=taken))
    crowded = without_crowded_guests(Settings(state=tmp_path, api_port=8081, orchestrator_port=8082))
    assert list_guests(crowded) == ()


def test_a_slash_in_a_columns_name_comes_through_the_whole_server(admin: httpx.Client, dashboard: Dashboard) -> None:
    settings = Settings(state=dashboard.state)
    columns = (Column(name="price//kg/", kind=Kind.NUMBER),)
    schema = FeatureSchema(model="m", version=1, task=Task.REGRESSION, target="count", columns=columns)
    publish(settings, schema, training_frame().with_columns(pl.col("temp").alias("price//kg/")))
    answer = admin.get("/api/models/m/drift/price%2F%2Fkg%2F?window=7d")
    assert answer.json()["column"]["name"] == "price//kg/", answer.text


def test_a_body_comes_through_whose_caller_offers_another_protocol(admin: httpx.Client) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAAAAIAAAAB"}
    answer = admin.post("/api/keys", json={"name": "from-java", "scope": "read"}, headers=offer)
    assert answer.is_success, answer.text
    assert answer.json()["name"] == "from-java"


def test_a_path_that_is_not_there_is_named_as_it_was_asked_for(admin: httpx.Client) -> None:
    assert admin.get("/api/nix").json()["detail"].startswith("there is nothing at /api/nix;")
    assert admin.patch("/api/keys").json()["detail"].startswith("/api/keys does not take PATCH;")
