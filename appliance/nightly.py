"""What is done every night, ``python -m appliance.nightly``: first what may go, then the backup, if one is wanted."""

from __future__ import annotations

import logging
import os
import sys

from appliance.backups import Backups
from appliance.errors import ApplianceError
from appliance.processes.loglines import start_log
from appliance.processes.priority import step_back
from appliance.retention import Retention
from appliance.settings import load_settings
from storage.errors import StorageError

log = logging.getLogger("appliance.nightly")


def main() -> int:
    """Exit code 75 when the backup failed; an alert says so too."""
    start_log()
    step_back()
    try:
        settings = load_settings()
        gone = Retention(settings).apply()
        if gone:
            log.info("%d things went, %d MB", len(gone), sum(one.bytes for one in gone) >> 20)
        if settings.backup_nightly:
            Backups(settings).nightly()
    except (ApplianceError, StorageError, OSError) as exc:
        log.error("%s", exc)
        return os.EX_TEMPFAIL
    return 0


if __name__ == "__main__":
    sys.exit(main())
