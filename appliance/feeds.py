"""Feeds: datasets that are refreshed by a schedule, or take in the new files of a folder, each exactly once."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from appliance.access import Access
from appliance.cron import require_cron
from appliance.datasets import Datasets
from appliance.errors import ApplianceError, BadInput, Conflict, NotFound
from appliance.feed_record import FeedRecord
from appliance.feed_signs import WatchedFile, next_run, ready_files
from appliance.intake import Intake
from appliance.orders import Unchanged
from appliance.settings import Settings
from storage.datasets import find_new, require_name
from storage.errors import SourceUnreadable, StateUnwritable, StorageError
from storage.feeds import Feed, FeedStatus, Trouble, find_feed, find_status, list_fed, put_feed, put_status
from storage.passing import try_again

log = logging.getLogger("appliance.feeds")

SHOWN_TROUBLES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedInfo:
    """A dataset's feed and how it went; ``next_at`` is when its schedule is due, UTC."""

    dataset: str
    feed: Feed
    status: FeedStatus
    next_at: datetime | None


class Feeds:
    """The feeds of one appliance."""

    def __init__(self, settings: Settings, datasets: Datasets) -> None:
        self._settings = settings
        self._layout = settings.layout
        self._datasets = datasets
        self._record = FeedRecord(settings)

    def schedule(self, name: str, cron: str, *, evolve: bool = False, who: str) -> FeedInfo:
        """Read the newest snapshot's source again whenever the expression says.

        Raises:
            NotFound: No such dataset.
            BadInput: The expression is none, or the source cannot be read again.
            Conflict: The dataset watches a folder.
            StateUnwritable: The disk is full or read-only.
        """
        try:
            require_cron(cron)
        except ValueError as exc:
            raise BadInput(f"the schedule is wrong: {exc}") from exc
        self._datasets.require_refreshable(name)
        feed = Feed(who=who, declared_at=datetime.now(UTC), schedule=cron, evolve=evolve)
        return self._declare(name, feed, f"refreshed by {cron}")

    def watch(self, name: str, intake: Intake, *, who: str) -> FeedInfo:
        """Append each file that comes into a folder, once; the dataset need not be there yet.

        Args:
            name: The dataset.
            intake: Its ``source`` is the folder; the rest says how each file is read.
            who: Who asks.

        Raises:
            BadInput: The name is no dataset's, or the folder is none.
            Conflict: The dataset is refreshed by a schedule.
            StateUnwritable: The disk is full or read-only.
        """
        folder = Path(intake.source).absolute()
        try:
            require_name(name)
            ready_files(folder)
        except SourceUnreadable as exc:
            raise BadInput(str(exc)) from exc
        except OSError as exc:
            raise BadInput(f"cannot watch {folder}: {exc.strerror}; name a folder that the appliance may read") from exc
        feed = Feed(
            who=who, declared_at=datetime.now(UTC), folder=str(folder), query=intake.query, prepare=intake.prepare,
            sheet=intake.sheet, delimiter=intake.delimiter, target=intake.target, evolve=intake.evolve,
        )  # fmt: skip
        return self._declare(name, feed, f"watches {folder}")

    def stop(self, name: str, *, who: str) -> None:
        """Take a feed away; what it brought stays, and is known when the same folder is watched again.

        Raises:
            NotFound: The dataset has no feed.
        """
        if name not in list_fed(self._layout):
            raise NotFound(f"the dataset {name!r} has no feed; feeds: {', '.join(list_fed(self._layout)) or 'none'}")
        put_feed(self._layout, name, None)
        self._record.close(name)
        Access(self._settings).record(who, "dataset.feed", name, "stopped")

    def list(self) -> tuple[FeedInfo, ...]:
        """Every feed, by dataset; a damaged one is left out and logged."""
        found = []
        for name in list_fed(self._layout):
            try:
                found.append(self._info(name))
            except SourceUnreadable as exc:
                log.error("%s", exc)
        return tuple(info for info in found if info is not None)

    def run_due(self, now: datetime) -> bool:
        """Do what is due: refresh, and take in new files. What is wrong with a source is kept as the feed's status.

        False when something of ours was wrong, a full disk for example: what was not done is still due.
        """
        done = True
        for info in self.list():
            try:
                if info.feed.folder is not None:
                    self._take_in_files(info, now)
                elif info.next_at is not None and info.next_at <= now:
                    self._refresh(info, now)
            except (ApplianceError, StorageError) as exc:
                log.error("feed of %s: %s; tried again later", info.dataset, exc)
                done = False
        return done

    def _declare(self, name: str, feed: Feed, told: str) -> FeedInfo:
        known = find_feed(self._layout, name)
        if known is not None and (known.folder is None) != (feed.folder is None):
            has = f"watches {known.folder}" if known.folder else f"is refreshed by {known.schedule}"
            raise Conflict(f"the dataset {name!r} {has}; end that first with 'appliance data feeds --stop {name}'")
        put_feed(self._layout, name, feed)
        self._record.close(name)
        Access(self._settings).record(feed.who, "dataset.feed", name, told)
        return FeedInfo(dataset=name, feed=feed, status=FeedStatus(), next_at=next_run(feed, FeedStatus()))

    def _info(self, name: str) -> FeedInfo | None:
        feed = find_feed(self._layout, name)
        if feed is None:
            return None
        status = find_status(self._layout, name)
        return FeedInfo(dataset=name, feed=feed, status=status, next_at=next_run(feed, status))

    def _refresh(self, info: FeedInfo, now: datetime) -> None:
        with self._record.run(info.dataset) as run:
            try:
                found = try_again(
                    lambda: self._datasets.refresh(info.dataset, who="schedule", evolve=info.feed.evolve),
                    lambda told: log.warning("feed of %s: %s", info.dataset, told),
                )
                run.is_news = not isinstance(found, Unchanged)
                what = f"brought {found.rows} rows" if not isinstance(found, Unchanged) else "did not change"
                run.message = f"The source {what}; the newest version is {found.version}."
            except StateUnwritable:
                raise
            except (ApplianceError, StorageError) as exc:
                run.failed, run.message = True, str(exc)
        # A time that was missed is made up for once: the next one counts from now.
        self._put(info, FeedStatus(ran_at=now, message=run.message, failed=run.failed))
        (log.error if run.failed else log.info)("feed of %s: %s", info.dataset, run.message)

    def _put(self, info: FeedInfo, status: FeedStatus) -> None:
        put_status(self._layout, info.dataset, status)
        self._record.alert(info.dataset, info.feed, status)

    def _take_in_files(self, info: FeedInfo, now: datetime) -> None:
        folder, name, was = Path(info.feed.folder or ""), info.dataset, info.status
        try:
            files = ready_files(folder, now=now.timestamp())
        except OSError as exc:
            message = f"cannot read the watched folder {folder}: {exc.strerror}"
            self._put(info, FeedStatus(ran_at=now, message=message, failed=True))
            return
        new = find_new(self._layout, name, [_once(file) for file in files])
        waiting = [file for file in files if _once(file) in new]
        troubles = {file.name: known for file in waiting if (known := _known_trouble(was, file)) is not None}
        status = _told(now, 0, len(files), troubles)
        if untried := [file for file in waiting if file.name not in troubles]:
            with self._record.run(name) as run:
                found = {file.name: self._take_in(name, info.feed, file) for file in untried}
                troubles |= {file: trouble for file, trouble in found.items() if trouble is not None}
                status = _told(now, sum(trouble is None for trouble in found.values()), len(files), troubles)
                run.message, run.failed = status.message, status.failed
        had_folder = was.ran_at is not None and (bool(was.troubles) or not was.failed)
        if untried or troubles != was.troubles or not had_folder:
            self._put(info, status)

    def _take_in(self, name: str, feed: Feed, file: WatchedFile) -> Trouble | None:
        intake = Intake(
            source=str(file.path), query=feed.query, prepare=feed.prepare, sheet=feed.sheet,
            delimiter=feed.delimiter, append=True, evolve=feed.evolve, target=feed.target, once=_once(file),
        )  # fmt: skip
        try:
            found = self._datasets.take_in(name, intake, who="watch", look=False)
        except Conflict:
            return None  # another process was faster
        except StateUnwritable:
            raise  # not the file's fault
        except (ApplianceError, StorageError) as exc:
            log.error("feed of %s: %s: %s", name, file.name, exc)
            return Trouble(bytes=file.bytes, changed_ns=file.changed_ns, message=str(exc))
        log.info("feed of %s: %s is version %d, %d rows in all", name, file.name, found.version, found.rows)
        return None


def _once(file: WatchedFile) -> str:
    return f"watched:{file.name}"


def _known_trouble(status: FeedStatus, file: WatchedFile) -> Trouble | None:
    """What was wrong with the file, where it has not changed since."""
    known = status.troubles.get(file.name)
    return known if known is not None and (known.bytes, known.changed_ns) == (file.bytes, file.changed_ns) else None


def _told(now: datetime, taken: int, seen: int, troubles: dict[str, Trouble]) -> FeedStatus:
    message = f"{taken} new of {seen} files were appended."
    if troubles:
        some = "; ".join(f"{name}: {trouble.message}" for name, trouble in list(troubles.items())[:SHOWN_TROUBLES])
        message += f" {len(troubles)} could not be: {some}"
    return FeedStatus(ran_at=now, message=message, failed=bool(troubles), troubles=troubles)
