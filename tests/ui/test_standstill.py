"""The dashboard while the release is changed: nothing that could be lost is taken, and it opens again by itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx

from appliance.access import Access
from appliance.processes.release_journal import Files, is_changing
from appliance.settings import Settings
from tests.served_api import free_port
from tests.ui.dashboard import PASSWORD, log_in, serve_dashboard

PAGE = {"accept": "text/html"}


def test_while_the_release_changes_nothing_is_taken_and_afterwards_everything(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    door = free_port()
    with (
        serve_dashboard(settings.state, {"APPLIANCE_UI_PREFECT_PORT": str(door)}) as dashboard,
        httpx.Client(base_url=dashboard.url) as client,
    ):
        log_in(client, dashboard.one_time_password())
        form = {"old": dashboard.one_time_password(), "new": PASSWORD, "again": PASSWORD}
        users = {"name": "eve", "role": "viewer"}
        files = Files(settings.layout, tmp_path)
        journal = files.begin("1", "2", ran=True, began_at="2026-01-01T00:00:00Z")

        page = client.get("/", headers=PAGE)
        assert (page.status_code, page.headers["refresh"]) == (503, "2")
        assert "Another release takes over" in page.text
        assert "default-src 'self'" in page.headers["content-security-policy"]
        assert client.post("/password", data=form, headers=PAGE).status_code == 503
        refused = client.post("/api/users", json=users)
        assert (refused.status_code, refused.headers["content-type"]) == (503, "application/problem+json")
        assert "nothing can be changed here" in refused.json()["detail"]
        assert client.get("/api/health").is_success, "whoever probes the new release is answered"
        assert httpx.post(f"http://127.0.0.1:{door}/api/flows/").status_code == 503
        clicks = client.get("/_nicegui_ws/socket.io/", params={"EIO": "4", "transport": "polling"})
        assert clicks.status_code == 503

        files.finish(journal)
        assert client.post("/password", data=form, headers=PAGE).headers["location"] == "/"
        log_in(client, PASSWORD)
        assert client.get("/", headers=PAGE).is_success
    entries = [one.entry for one in Access(settings).audit(20)]
    assert [one.action for one in entries if "password" in one.action] == ["user.password"]


def test_a_folder_that_cannot_be_looked_into_yet_belongs_to_a_change(tmp_path: Path) -> None:
    assert not is_changing(Settings(state=tmp_path).layout)
    folder = tmp_path / "upgrade"
    folder.mkdir()
    folder.chmod(0)
    code = """
import sys
from pathlib import Path
from appliance.processes.release_journal import is_changing
from storage.layout import Layout
from tests.unprivileged import drop_capabilities
layout = Layout(root=Path(sys.argv[1]))
drop_capabilities()
print(is_changing(layout))
"""
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True)
    folder.chmod(0o700)
    assert done.stdout == "True\n"
