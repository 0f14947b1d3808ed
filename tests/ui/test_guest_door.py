"""The ports before MLflow and Prefect: whom they let through, what they pass on, what they keep to themselves.

A small server of the tests' own stands behind the door, since it can tell what reached it; the browser's tests have
the real programs there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from appliance.access import Access, Role
from appliance.permissions import Action
from appliance.settings import Settings
from tests.served_api import free_port
from tests.ui.dashboard import PASSWORD, Dashboard, log_in, serve_dashboard
from ui.guests import list_guests


class Behind:
    """What stands behind the door, and what it was asked."""

    def __init__(self) -> None:
        self.port = free_port()
        self.asked: list[dict[str, Any]] = []

    async def tell(self, request: Request) -> Response:
        body = (await request.body()).decode()
        told = {
            "method": request.method, "target": request.scope["raw_path"].decode() + "?" + request.url.query,
            "headers": dict(request.headers), "body": body,
        }  # fmt: skip
        self.asked.append(told)
        answer = JSONResponse(told)
        answer.set_cookie("theirs", "1")
        answer.set_cookie("appliance_1", "stolen")
        answer.headers["access-control-allow-origin"] = "*"
        return answer

    async def lead(self, _: Request) -> Response:
        return RedirectResponse(f"http://127.0.0.1:{self.port}/there?a=1")

    async def much(self, _: Request) -> Response:
        async def body() -> Any:
            for _ in range(64):
                yield b"x" * 65_536

        return StreamingResponse(body(), media_type="application/octet-stream")

    async def talk(self, socket: WebSocket) -> None:
        await socket.accept("prefect" if "prefect" in socket.scope["subprotocols"] else None)
        await socket.send_text(await socket.receive_text())
        await socket.send_bytes(await socket.receive_bytes())
        await socket.close()

    @contextlib.contextmanager
    def serve(self) -> Iterator[None]:
        app = Starlette(
            routes=[
                WebSocketRoute("/api/events/out", self.talk), WebSocketRoute("/api/events/in", self.talk),
                Route("/lead", self.lead), Route("/much", self.much),
                Route("/{path:path}", self.tell, methods=["GET", "POST", "DELETE", "PUT"]),
            ]
        )  # fmt: skip
        server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=self.port, log_level="warning"))
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield
        finally:
            server.should_exit = True
            thread.join(20)


@pytest.fixture(scope="module")
def behind() -> Iterator[Behind]:
    found = Behind()
    with found.serve():
        yield found


@pytest.fixture(scope="module")
def door() -> str:
    return f"http://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def dashboard(tmp_path_factory: pytest.TempPathFactory, behind: Behind, door: str) -> Iterator[Dashboard]:
    ports = {
        "APPLIANCE_ORCHESTRATOR_PORT": str(behind.port), "APPLIANCE_UI_PREFECT_PORT": door.rpartition(":")[2],
        "APPLIANCE_MLFLOW_PORT": str(free_port()),
    }  # fmt: skip
    with serve_dashboard(tmp_path_factory.mktemp("guests") / "state", ports) as running:
        with httpx.Client(base_url=running.url, timeout=30) as client:
            first = running.one_time_password()
            log_in(client, first)
            client.post("/password", data={"old": first, "new": PASSWORD, "again": PASSWORD})
        access = Access(Settings(state=running.state))
        access.create_user("eve", Role.VIEWER, PASSWORD, who="admin")
        access.set_password("eve", PASSWORD, who="eve")
        access.create_user("new", Role.ADMIN, PASSWORD, who="admin")
        yield running


@pytest.fixture
def admin(dashboard: Dashboard) -> Iterator[httpx.Client]:
    with _logged_in(dashboard, "admin") as client:
        yield client


@pytest.fixture
def viewer(dashboard: Dashboard) -> Iterator[httpx.Client]:
    with _logged_in(dashboard, "eve") as client:
        yield client


@contextlib.contextmanager
def _logged_in(dashboard: Dashboard, name: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=dashboard.url, timeout=30) as client:
        assert log_in(client, PASSWORD, name=name).headers["location"] == "/"
        yield client


@pytest.mark.parametrize(
    ("guest", "method", "path", "needed"),
    [
        ("prefect", "GET", "/runs", Action.LOOK),
        ("prefect", "POST", "/api/flow_runs/filter", Action.LOOK),
        ("prefect", "POST", "/api/ui/flow_runs/history", Action.LOOK),
        ("prefect", "POST", "/api/ui/flow_runs/count-task-runs", Action.LOOK),
        ("prefect", "POST", "/api/flow_runs/", Action.ADMINISTER),
        ("prefect", "POST", "/api/flow_runs/1-2/set_state", Action.ADMINISTER),
        ("prefect", "POST", "/api/deployments/1/create_flow_run", Action.ADMINISTER),
        ("prefect", "POST", "/api/flow_runs/filter/../bulk_delete", Action.ADMINISTER),
        ("prefect", "POST", "/api/../filter", Action.ADMINISTER),
        ("prefect", "DELETE", "/api/flow_runs/filter", Action.ADMINISTER),
        ("prefect", "PUT", "/api/flows/filter", Action.ADMINISTER),
        ("prefect", "", "/api/events/out", Action.LOOK),
        ("prefect", "", "/api/events/in", Action.ADMINISTER),
        ("mlflow", "GET", "/get-artifact", Action.LOOK),
        ("mlflow", "POST", "/ajax-api/2.0/mlflow/runs/search", Action.LOOK),
        ("mlflow", "POST", "/ajax-api/3.0/mlflow/traces/search", Action.LOOK),
        ("mlflow", "POST", "/graphql", Action.LOOK),
        ("mlflow", "POST", "/api/2.0/mlflow/runs/create", Action.ADMINISTER),
        ("mlflow", "POST", "/ajax-api/2.0/mlflow/runs/delete", Action.ADMINISTER),
        ("mlflow", "PATCH", "/ajax-api/2.0/mlflow/registered-models/update", Action.ADMINISTER),
    ],
)
def test_what_may_change_something_is_the_admins(guest: str, method: str, path: str, needed: Action) -> None:
    found = next(one for one in list_guests(Settings()) if one.name == guest)
    assert found.needs(method, path) is needed


def test_a_port_of_0_leaves_a_guest_out() -> None:
    assert [one.name for one in list_guests(Settings(ui_mlflow_port=0))] == ["prefect"]


def test_without_a_session_nothing_passes(dashboard: Dashboard, behind: Behind, door: str) -> None:
    before = len(behind.asked)
    with httpx.Client(base_url=door) as stranger:
        for method in ("GET", "POST", "DELETE"):
            assert stranger.request(method, "/api/flows/filter").status_code == 401
        asked = stranger.get("/runs?page=2", headers={"accept": "text/html"})
        assert asked.status_code == 303
        login = f"{dashboard.url}/login?next=/open/prefect%3Fto%3D/runs%253Fpage%253D2"
        assert asked.headers["location"] == login
        forged = {"cookie": f"appliance_{dashboard.port}=eyJsb2dpbiI6ICJ4In0=.aaa.bbb"}
        assert stranger.get("/api/flows/1", headers=forged).status_code == 401
    assert len(behind.asked) == before


def test_the_login_leads_back_to_the_page(dashboard: Dashboard, door: str) -> None:
    with httpx.Client(follow_redirects=True) as client:
        asked = client.get(f"{door}/runs?page=2", headers={"accept": "text/html"})
        form = {"name": "admin", "password": PASSWORD, "next": asked.url.params["next"]}
        reached = client.post(f"{dashboard.url}/login", data=form)
        assert reached.headers["refresh"] == f"0; url={door}/runs?page=2"
        assert client.get(f"{door}/runs?page=2").json()["target"] == "/runs?page=2"


def test_the_address_of_a_guest_follows_the_one_the_browser_came_by(dashboard: Dashboard, door: str) -> None:
    port = door.rpartition(":")[2]
    cases = {
        f"appliance.example:{dashboard.port}": f"http://appliance.example:{port}/a",
        f"[::1]:{dashboard.port}": f"http://[::1]:{port}/a",
    }
    for host, expected in cases.items():
        answer = httpx.get(f"{dashboard.url}/open/prefect?to=/a", headers={"host": host})
        assert answer.headers["refresh"] == f"0; url={expected}"
    elsewhere = httpx.get(f"{dashboard.url}/open/prefect?to=//evil.example")
    assert elsewhere.headers["refresh"] == f"0; url={door}/"
    injected = httpx.get(f"{dashboard.url}/open/prefect?to=/a%0d%0aset-cookie:%20a=b%22%3E")
    assert not [one for one in injected.headers.get_list("set-cookie") if "a=b" in one]
    assert injected.headers["refresh"] == f"0; url={door}/a%0D%0Aset-cookie:%20a=b%22%3E"
    proxied = httpx.get(f"{dashboard.url}/open/prefect", headers={"host": "box", "x-forwarded-proto": "https"})
    assert proxied.headers["refresh"] == "0; url=https://box:8446/"


def test_a_request_passes_as_it_came_but_for_what_is_ours(admin: httpx.Client, behind: Behind, door: str) -> None:
    headers = {"origin": door, "x-forwarded-for": "10.0.0.1", "authorization": "Bearer secret", "x-prefect-ui": "true"}
    admin.cookies.set("theirs", "1", domain="127.0.0.1")
    answer = admin.post(f"{door}/api/a%2Fb/c?x=1%202", content=b"hello", headers=headers)
    told = answer.json()
    assert (told["method"], told["target"], told["body"]) == ("POST", "/api/a%2Fb/c?x=1%202", "hello")
    assert told["headers"]["host"] == f"127.0.0.1:{behind.port}"
    assert told["headers"]["cookie"] == "theirs=1"
    assert told["headers"]["x-prefect-ui"] == "true"
    assert not {"origin", "x-forwarded-for", "authorization"} & set(told["headers"])
    assert [one.split("=")[0] for one in answer.headers.get_list("set-cookie")] == ["theirs"]
    assert "access-control-allow-origin" not in answer.headers
    assert "frame-ancestors 'self'" in answer.headers["content-security-policy"]
    assert "http" not in answer.headers["content-security-policy"]


def test_a_redirect_stays_at_the_door_and_a_long_answer_comes_whole(admin: httpx.Client, door: str) -> None:
    assert admin.get(f"{door}/lead").headers["location"] == "/there?a=1"
    assert len(admin.get(f"{door}/much").content) == 64 * 65_536


@pytest.mark.parametrize(
    "foreign", [{"origin": "https://evil.example"}, {"origin": "http://127.0.0.1:1"}, {"sec-fetch-site": "same-site"}]
)
def test_a_page_of_another_site_does_nothing(
    admin: httpx.Client, behind: Behind, door: str, foreign: dict[str, str]
) -> None:
    before = len(behind.asked)
    assert admin.post(f"{door}/api/flows/", json={}, headers=foreign).status_code == 403
    assert admin.post(f"{door}/api/flows/filter", json={}, headers=foreign).status_code == 403
    assert admin.get(f"{door}/api/flows/1", headers=foreign).status_code == 403
    assert len(behind.asked) == before


def test_a_viewer_looks_and_changes_nothing(viewer: httpx.Client, behind: Behind, door: str) -> None:
    assert viewer.post(f"{door}/api/flows/filter", json={}).is_success
    before = len(behind.asked)
    refused = viewer.post(f"{door}/api/flow_runs/1/set_state", json={})
    assert refused.status_code == 403
    assert "eve is a viewer" in refused.json()["detail"]
    assert viewer.delete(f"{door}/api/flows/1").status_code == 403
    assert len(behind.asked) == before


def test_what_an_admin_changes_there_is_in_the_audit(dashboard: Dashboard, admin: httpx.Client, door: str) -> None:
    assert admin.delete(f"{door}/api/flows/7").is_success
    newest = Access(Settings(state=dashboard.state)).audit(1)[0].entry
    assert (newest.who, newest.action, newest.subject) == ("admin", "guest.change", "prefect")
    assert newest.detail == "DELETE /api/flows/7"


def test_a_logout_closes_the_door(admin: httpx.Client, door: str) -> None:
    kept = dict(admin.cookies)
    assert admin.get(f"{door}/a").is_success
    admin.post("/logout")
    assert httpx.get(f"{door}/a", cookies=kept).status_code == 401


def test_a_guest_that_is_not_there_is_said_in_a_sentence(dashboard: Dashboard, admin: httpx.Client) -> None:
    there = admin.get("/open/mlflow").headers["refresh"].removeprefix("0; url=")
    answer = admin.get(there)
    assert answer.status_code == 502
    assert "MLflow does not answer" in answer.text
    assert "appliance logs mlflow" in answer.text


def test_websockets_pass_both_ways_for_who_may(dashboard: Dashboard, viewer: httpx.Client, door: str) -> None:
    url = door.replace("http", "ws")
    cookie = {"cookie": "; ".join(f"{name}={value}" for name, value in viewer.cookies.items())}

    async def converse(path: str, headers: dict[str, str]) -> list[str | bytes]:
        async with connect(url + path, additional_headers=headers, subprotocols=["prefect"]) as socket:  # type: ignore[list-item]
            assert socket.subprotocol == "prefect"
            await socket.send(json.dumps({"a": 1}))
            await socket.send(b"\x00\x01")
            return [message async for message in socket]

    assert asyncio.run(converse("/api/events/out", cookie)) == ['{"a": 1}', b"\x00\x01"]
    with _logged_in(dashboard, "new") as newcomer:  # with a password for one use, which opens nothing else
        unproved = {"cookie": "; ".join(f"{name}={value}" for name, value in newcomer.cookies.items())}
    refused: tuple[tuple[str, dict[str, str]], ...] = (
        ("/api/events/out", {}), ("/api/events/in", cookie), ("/api/events/out", cookie | {"origin": "http://evil"}),
        ("/api/events/out", unproved),
    )  # fmt: skip
    for path, headers in refused:
        with pytest.raises(InvalidStatus) as caught:
            asyncio.run(converse(path, headers))
        assert caught.value.response.status_code == 403
