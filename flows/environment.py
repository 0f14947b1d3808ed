"""The environment every process of ours that imports Prefect runs in; Prefect reads it when it is imported."""

from __future__ import annotations

import os

from appliance.old_jobs import KEEP_DAYS, KEEP_EVENTS_DAYS
from appliance.settings import Settings


def prefect_environment(settings: Settings) -> dict[str, str]:
    """Prefect's settings: SQLite below the state, loopback, nobody told about us, nothing idle runs."""
    home = settings.layout.prefect.absolute()
    return {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": settings.orchestrator_url,
        # Its UI asks the address that it was loaded from, which is the dashboard's door for most.
        "PREFECT_SERVER_UI_API_URL": "/api",
        # Its second UI tells a service outside what people do, whatever the settings say.
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "PREFECT_API_DATABASE_CONNECTION_URL": f"sqlite+aiosqlite:///{home / 'prefect.db'}",
        "PREFECT_API_DATABASE_TIMEOUT": "30",
        "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "false",
        # Nobody outside this host is told anything; the server runs without a network.
        "DO_NOT_TRACK": "1",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
        "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
        # The files of its own dashboard are copied here, since the package's folder may be read-only.
        "PREFECT_SERVER_UI_STATIC_DIRECTORY": str(home / "ui"),
        # Finished runs and their logs go too, not only events, or the database grows for ever.
        "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
        "PREFECT_SERVER_SERVICES_DB_VACUUM_RETENTION_PERIOD": f"P{KEEP_DAYS}D",
        "PREFECT_SERVER_EVENTS_RETENTION_PERIOD": f"P{KEEP_EVENTS_DAYS}D",
        # flows/schedules.py plans, since this one fails with SQLAlchemy 2.1.
        "PREFECT_SERVER_SERVICES_SCHEDULER_ENABLED": "false",
        # We have no work pools, automations, pauses or concurrency leases; each of these polls the database.
        "PREFECT_SERVER_SERVICES_FOREMAN_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_TRIGGERS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_PAUSE_EXPIRATIONS_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_REPOSSESSOR_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_CANCELLATION_CLEANUP_ENABLED": "false",
        "PREFECT_SERVER_SERVICES_LATE_RUNS_ENABLED": "false",
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING",
        "PREFECT_LOGGING_LEVEL": "INFO",
        "PREFECT_LOGGING_TO_API_BATCH_INTERVAL": "0.5",
        "PREFECT_LOGGING_COLORS": "false",
        "PREFECT_CLIENT_MAX_RETRIES": "10",
    }


def enter_environment(settings: Settings) -> None:
    """Make it this process's own; to be called before Prefect is imported.

    Whatever proxies there are, Prefect's server is asked past them: it listens on loopback.
    """
    os.environ.update(prefect_environment(settings))
    for name in ("no_proxy", "NO_PROXY"):
        spared = os.environ.get(name) or os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        if spared.strip() != "*":  # all of them; beside a name it would be one that nothing has
            os.environ[name] = ",".join(part for part in (spared, "127.0.0.1") if part)
