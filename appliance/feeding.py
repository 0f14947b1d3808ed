"""One pass over the feeds, in a process of its own: ``python -m appliance.feeding``, started by the runner."""

from __future__ import annotations

import fcntl
import logging
import os
import sys
from datetime import UTC, datetime

from appliance.house import open_appliance
from appliance.processes.loglines import start_log
from appliance.processes.priority import go_first, step_back
from appliance.settings import load_settings

log = logging.getLogger("appliance.feeds")


def main() -> int:
    """Do what is due; one process at a time, another that is started meanwhile ends at once."""
    start_log()
    step_back()
    go_first()
    settings = load_settings()
    try:
        with (settings.layout.run / "feeding.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            done = open_appliance(settings).feeds.run_due(datetime.now(UTC))
    except BlockingIOError:
        return os.EX_TEMPFAIL
    except OSError as exc:
        log.error("feeds cannot be run: %s; tried again later", exc)
        return os.EX_TEMPFAIL
    return 0 if done else os.EX_TEMPFAIL


if __name__ == "__main__":
    sys.exit(main())
