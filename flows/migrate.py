"""Brings a Prefect database, that nobody uses, to the installed Prefect's schema: ``python -m flows.migrate PATH``."""

from __future__ import annotations

import os
import sys
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread

from appliance.settings import load_settings
from flows.environment import prefect_environment


def main() -> int:
    """Upgrade it; alembic's own words on failure."""
    path = Path(sys.argv[1]).absolute()
    os.environ.update(prefect_environment(load_settings()))
    os.environ["PREFECT_API_DATABASE_CONNECTION_URL"] = f"sqlite+aiosqlite:///{path}"
    # It reads its settings now, and wants to be called from a thread beside an event loop.
    from prefect.server.database.alembic_commands import alembic_upgrade  # noqa: PLC0415

    anyio.run(partial(anyio.to_thread.run_sync, alembic_upgrade))
    return 0


if __name__ == "__main__":
    sys.exit(main())
