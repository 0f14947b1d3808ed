"""MLflow's own server on a socket that the door holds: ``python -m appliance.processes.mlflow_server FD``."""

from __future__ import annotations

import logging
import sys
from importlib import import_module

import uvicorn

from appliance.processes.loglines import adopt_loggers, start_log

STOP_WITHIN_S = 5
"""Open connections are cut after so long when it stops."""


def main() -> None:
    """Serve until SIGTERM; MLflow reads the environment that the door made."""
    start_log(level=logging.WARNING)
    app = import_module("mlflow.server.fastapi_app").app
    adopt_loggers()
    uvicorn.run(app, fd=int(sys.argv[1]), log_config=None, log_level="warning", timeout_graceful_shutdown=STOP_WITHIN_S)


if __name__ == "__main__":
    main()
