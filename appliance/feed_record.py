"""What a feed did, where people look: among the jobs while it runs and after, and as an alert while it fails."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from appliance.errors import ApplianceError, NotReady
from appliance.monitoring.spans import State
from appliance.orchestrator import COMPLETED, CRASHED, DEPLOYMENT, FAILED, PENDING, RUNNING, Orchestrator
from appliance.settings import Settings
from storage.alert_rows import NewAlert, close_alert, list_alerts, open_alert
from storage.errors import StorageError
from storage.feeds import Feed, FeedStatus
from storage.statedb import connect, transaction

log = logging.getLogger("appliance.feeds")

FEED = "feed"
"""A job's kind, and how the subject of an alert begins; the dataset's name follows."""


def subject_of(dataset: str) -> str:
    """The subject of the alert on a dataset's feed; it is about no model, so its model is empty."""
    return f"{FEED} {dataset}"


def told_feed(feed: Feed) -> str:
    """What brings the rows, for a sentence."""
    return f"the folder {feed.folder}" if feed.folder is not None else f"the schedule {feed.schedule}"


@dataclass(slots=True)
class FeedRun:
    """One run of a feed, as it goes.

    Attributes:
        message: What came of it, in a sentence.
        failed: It was not done.
        is_news: Whether it is worth a line among the jobs: a source that did not change is not.
    """

    message: str = ""
    failed: bool = False
    is_news: bool = True


class FeedRecord:
    """The jobs and the alerts of one appliance's feeds; what cannot be recorded does not hold the rows up."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @contextmanager
    def run(self, dataset: str) -> Iterator[FeedRun]:
        """A job that is running within the block; its end is what the block makes of it."""
        run = FeedRun()
        with closing(Orchestrator(self._settings)) as orchestrator:
            job = self._begin(orchestrator, dataset)
            try:
                yield run
            except BaseException as exc:
                self._end(orchestrator, job, FeedRun(message=str(exc) or type(exc).__name__, failed=True), CRASHED)
                raise
            self._end(orchestrator, job, run, FAILED if run.failed else COMPLETED)

    def _begin(self, orchestrator: Orchestrator, dataset: str) -> str | None:
        parameters, about = {"dataset": dataset, "who": FEED}, {"dataset": dataset}
        try:
            # One process at a time works on feeds: a run that is still there was killed.
            for left in orchestrator.runs_in(PENDING, RUNNING):
                if left.name.startswith(f"{FEED} "):
                    orchestrator.set_state(left.id, CRASHED, "it was killed; what it did not finish is due", force=True)
            return orchestrator.begin_run(FEED, name=f"{FEED} {dataset}", parameters=parameters, tags=[DEPLOYMENT]).id
        except NotReady as exc:
            log.info("the run of the feed of %s is not listed among the jobs: %s", dataset, exc, extra=about)
        except ApplianceError as exc:
            log.warning("the run of the feed of %s is not listed among the jobs: %s", dataset, exc, extra=about)
        return None

    def _end(self, orchestrator: Orchestrator, job: str | None, run: FeedRun, state: str) -> None:
        if job is None:
            return
        try:
            if run.is_news:
                orchestrator.set_state(job, state, run.message, force=True)
            else:
                orchestrator.forget_run(job)
        except ApplianceError as exc:
            log.warning("job %s stays as it is: %s", job, exc, extra={"job": job})

    def alert(self, dataset: str, feed: Feed, status: FeedStatus) -> None:
        """Open the feed's alert when it failed, replace one that told something else, close it when it goes again."""
        told = f"{told_feed(feed)} brings no rows to the dataset {dataset!r}: {status.message}"
        message = f"{told[0].upper()}{told[1:].rstrip('.')}. See 'appliance data feeds'." if status.failed else ""
        self._stand(dataset, message)

    def close(self, dataset: str) -> None:
        """The feed is gone, or declared anew."""
        self._stand(dataset, "")

    def _stand(self, dataset: str, message: str) -> None:
        subject, now = subject_of(dataset), datetime.now(UTC)
        try:
            with closing(connect(self._settings.layout.database)) as connection, transaction(connection):
                alerts = list_alerts(connection, open_only=True, limit=1000)
                if message in [row.message for row in alerts if row.subject == subject]:
                    return
                close_alert(connection, "", subject, now)
                if message:
                    new = NewAlert(model="", subject=subject, state=State.WARN, message=message, opened_at=now)
                    open_alert(connection, new)
        except (StorageError, sqlite3.Error) as exc:
            log.error("the alert on the feed of %s cannot be written: %s", dataset, exc, extra={"dataset": dataset})
