"""What is done every night, ``python -m appliance.nightly``: first what may go, then the backup, if one is wanted."""

from __future__ import annotations

import logging
import os
import sqlite3
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from appliance.backups import Backups
from appliance.errors import ApplianceError
from appliance.expiry import watch_certificate
from appliance.processes.loglines import start_log
from appliance.processes.priority import step_back
from appliance.retention import Retention
from appliance.settings import Settings, load_settings
from storage.errors import StorageError

log = logging.getLogger("appliance.nightly")


NOT_GOOD = os.EX_DATAERR
"""Exit code: a backup was made, though something failed; to make another in an hour would only push good ones out."""


def main() -> int:
    """Exit code 75 when something failed, ``NOT_GOOD`` when a backup was made all the same; an alert says so too.

    Whatever becomes of what may go, the backup is made.
    """
    start_log()
    step_back()
    try:
        settings = load_settings()
    except (ApplianceError, OSError) as exc:
        log.error("%s", exc)
        return os.EX_TEMPFAIL
    began = datetime.now(UTC)
    _attempt(lambda asked: watch_certificate(asked, began), settings)
    done = [_attempt(_let_go, settings), not settings.backup_nightly or _attempt(_back_up, settings)]
    if all(done):
        return 0
    made = any(one.created_at >= began for one in Backups(settings).list())
    return NOT_GOOD if made else os.EX_TEMPFAIL


def _attempt(work: Callable[[Settings], None], settings: Settings) -> bool:
    try:
        work(settings)
    except (ApplianceError, StorageError, OSError, sqlite3.Error) as exc:
        log.error("%s", exc)
        return False
    return True


def _let_go(settings: Settings) -> None:
    if gone := Retention(settings).apply():
        log.info("%d things went, %d MB", len(gone), sum(one.bytes for one in gone) // 1_000_000)


def _back_up(settings: Settings) -> None:
    Backups(settings).nightly()


if __name__ == "__main__":
    sys.exit(main())
