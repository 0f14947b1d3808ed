"""Prefect's settings mean what we think: Prefect itself reads them back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

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


def test_prefect_reads_what_we_set(tmp_path: Path) -> None:
    environment = prefect_environment(Settings(state=tmp_path))
    done = subprocess.run(
        [sys.executable, "-c", READ], env={**os.environ, **environment}, check=True, capture_output=True, text=True
    )
    assert json.loads(done.stdout) == {
        "vacuum": ["events", "flow_runs", "orphans"], "days": 90, "event_days": 7, "analytics": False,
        "ephemeral": False, "off": [], "database": f"sqlite+aiosqlite:///{tmp_path}/prefect/prefect.db",
    }  # fmt: skip
