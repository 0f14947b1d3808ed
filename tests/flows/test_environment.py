"""Prefect's settings mean what we think: Prefect itself reads them back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import prefect

from appliance.settings import Settings
from flows.environment import prefect_environment

READ = """
import json, os, prefect.settings as found
server = found.get_current_settings().server
print(json.dumps({
    "vacuum": sorted(server.services.db_vacuum.enabled_vacuum_types),
    "days": server.services.db_vacuum.retention_period.days,
    "event_days": server.events.retention_period.days,
    "analytics": server.analytics_enabled,
    "ephemeral": server.ephemeral.enabled,
    "off": [name for name in ("foreman", "triggers", "pause_expirations", "repossessor", "late_runs",
                              "cancellation_cleanup") if getattr(server.services, name).enabled],
    "database": str(server.database.connection_url.get_secret_value()),
}))
"""

ASK = """
import sys
from pathlib import Path
from appliance.settings import Settings
from flows.environment import enter_environment
enter_environment(Settings(state=Path(sys.argv[1]), orchestrator_port=int(sys.argv[2])))
from prefect.client.orchestration import get_client
with get_client(sync_client=True) as client:
    print(client.hello().status_code)
"""


class Server(BaseHTTPRequestHandler):
    """Answers everything with Prefect's version."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(json.dumps(prefect.__version__).encode())


def test_prefect_s_server_is_asked_past_every_proxy(tmp_path: Path) -> None:
    for spared in (
        {},
        {"no_proxy": "internal"},
        {"NO_PROXY": "internal"},
        {"no_proxy": "*"},
        {"no_proxy": "a", "NO_PROXY": "*"},
    ):
        kept = {name: value for name, value in os.environ.items() if name.lower() != "no_proxy"}
        with ThreadingHTTPServer(("127.0.0.1", 0), Server) as server:
            threading.Thread(target=server.serve_forever).start()
            done = subprocess.run(
                [sys.executable, "-c", ASK, str(tmp_path), str(server.server_port)],
                env={**kept, **spared, "http_proxy": "http://127.0.0.1:9", "PREFECT_CLIENT_MAX_RETRIES": "0"},
                capture_output=True, text=True, check=False,
            )  # fmt: skip
            server.shutdown()
        assert done.stdout.split() == ["200"], done.stderr[-2000:]


def test_prefect_reads_what_we_set(tmp_path: Path) -> None:
    environment = prefect_environment(Settings(state=tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", READ], env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == {
        "vacuum": ["events", "flow_runs", "orphans"], "days": 90, "event_days": 7, "analytics": False,
        "ephemeral": False, "off": [], "database": f"sqlite+aiosqlite:///{tmp_path}/prefect/prefect.db",
    }  # fmt: skip
