"""Users managed over HTTP, as each role meets it through the login of the real dashboard."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.ui.dashboard import PASSWORD, Dashboard, log_in, serve_dashboard


@contextmanager
def logged_in(dashboard: Dashboard, name: str, one_time: str) -> Iterator[httpx.Client]:
    """A browser's cookies after the first login of a user."""
    with httpx.Client(base_url=dashboard.url) as client:
        assert log_in(client, one_time, name=name).headers["location"] == "/"
        assert client.get("/api/models").status_code == 403  # until it is replaced
        client.post("/password", data={"old": one_time, "new": PASSWORD, "again": PASSWORD})
        assert client.get("/api/models").status_code == 200
        yield client


@pytest.mark.timeout(300)
def test_an_admin_manages_users_and_nobody_else_does(tmp_path: Path) -> None:
    with (
        serve_dashboard(tmp_path / "state") as dashboard,
        logged_in(dashboard, "admin", dashboard.one_time_password()) as admin,
    ):
        made = admin.post("/api/users", json={"name": "olga", "role": "operator"}).json()
        with logged_in(dashboard, "olga", made["password"]) as olga:
            for method, path, body in (
                ("POST", "/api/users", {"name": "eve", "role": "admin"}),
                ("PUT", "/api/users/olga/role", {"role": "admin"}),
                ("POST", "/api/users/admin/password", None),
                ("DELETE", "/api/users/admin", None),
            ):
                assert olga.request(method, path, json=body).status_code == 403, path
            # A new role acts at once in an open session.
            assert admin.put("/api/users/olga/role", json={"role": "admin"}).json()["role"] == "admin"
            assert olga.get("/api/users").status_code == 200
            admin.put("/api/users/olga/role", json={"role": "viewer"})
            assert olga.get("/api/users").status_code == 403
            # A password that is given out ends what the old one opened.
            given = admin.post("/api/users/olga/password").json()["password"]
            assert olga.get("/api/models").status_code == 401
            own = admin.post("/api/users/admin/password")
            assert (own.status_code, "present one" in own.json()["detail"]) == (422, True)
        with logged_in(dashboard, "olga", given) as olga:
            assert admin.delete("/api/users/olga").status_code == 204
            assert olga.get("/api/models").status_code == 401
            # Whoever gets the name later is somebody else.
            admin.post("/api/users", json={"name": "olga", "role": "admin"})
            assert olga.get("/api/models").status_code == 401
        done = [one["action"] for one in admin.get("/api/audit?q=olga").json() if one["who"] == "admin"]
        assert done == [
            "user.add", "user.delete", "user.password", "user.role", "user.role", "user.add",
        ]  # fmt: skip
