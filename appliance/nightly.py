"""What is done every night, ``python -m appliance.nightly``: first what may go, then the backup, if one is wanted."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Callable

from appliance.backups import Backups
from appliance.errors import ApplianceError
from appliance.processes.loglines import start_log
from appliance.processes.priority import step_back
from appliance.retention import Retention
from appliance.settings import Settings, load_settings
from storage.errors import StorageError

log = logging.getLogger("appliance.nightly")


def main() -> int:
    """Exit code 75 when the backup failed; an alert says so too. Whatever becomes of one, the other is done."""
    start_log()
    step_back()
    try:
        settings = load_settings()
    except (ApplianceError, OSError) as exc:
        log.error("%s", exc)
        return os.EX_TEMPFAIL
    done = [_attempt(_let_go, settings), not settings.backup_nightly or _attempt(_back_up, settings)]
    return 0 if all(done) else os.EX_TEMPFAIL


def _attempt(work: Callable[[Settings], None], settings: Settings) -> bool:
    try:
        work(settings)
    except (ApplianceError, StorageError, OSError, sqlite3.Error) as exc:
        log.error("%s", exc)
        return False
    return True


def _let_go(settings: Settings) -> None:
    if gone := Retention(settings).apply():
        log.info("%d things went, %d MB", len(gone), sum(one.bytes for one in gone) >> 20)


def _back_up(settings: Settings) -> None:
    Backups(settings).nightly()


if __name__ == "__main__":
    sys.exit(main())
