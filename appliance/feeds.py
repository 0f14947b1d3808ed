"""Feeds: datasets that are refreshed by a schedule, or take in the new files of a folder, each exactly once."""

from __future__ import annotations

import logging
import sqlite3
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from appliance.access import Access
from appliance.cron import require_cron
from appliance.datasets import Datasets
from appliance.errors import ApplianceError, BadInput, Conflict, NotFound
from appliance.feed_files import KnownFiles, Standing
from appliance.feed_record import FeedRecord
from appliance.feed_signs import WatchedFile, look_below, next_run, ready_files
from appliance.intake import Intake
from appliance.orders import Unchanged
from appliance.settings import Settings
from appliance.unit_view import require_seen
from storage.datasets import require_name
from storage.errors import SourceUnreadable, StateUnwritable, StorageError
from storage.feeds import Feed, FeedStatus, Trouble, find_feed, find_status, list_fed, put_feed, put_status
from storage.passing import try_again

log = logging.getLogger("appliance.feeds")

SHOWN_TROUBLES = 5
UNEXPECTED = "it ended in an error that was not foreseen ({told}); 'appliance logs runner' has the whole of it"


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
        require_seen(self._settings, self._datasets.require_refreshable(name).source)
        feed = Feed(who=who, declared_at=datetime.now(UTC), schedule=cron, evolve=evolve)
        return self._declare(name, feed, f"refreshed by {cron}")

    def watch(self, name: str, intake: Intake, *, again: bool = False, who: str) -> FeedInfo:
        """Append each file that comes into a folder, once; the dataset need not be there yet.

        A file is known by its name and by what it holds: the same content under another name is not appended again.

        Args:
            name: The dataset.
            intake: Its ``source`` is the folder; the rest says how each file is read.
            again: Append the rows of a file that changes under its name; else it is told as a trouble, and left.
            who: Who asks.

        Raises:
            BadInput: The name is no dataset's, or the folder is none.
            Conflict: The dataset is refreshed by a schedule.
            StateUnwritable: The disk is full or read-only.
        """
        if not intake.source.strip():
            raise BadInput("the folder is empty; name it by its path")
        folder = Path(intake.source).absolute()
        require_seen(self._settings, str(folder))
        try:
            require_name(name)
            look_below(folder)
        except SourceUnreadable as exc:
            raise BadInput(str(exc)) from exc
        except OSError as exc:
            raise BadInput(f"cannot watch {folder}: {exc.strerror}; name a folder that the appliance may read") from exc
        feed = Feed(
            who=who, declared_at=datetime.now(UTC), folder=str(folder), query=intake.query, prepare=intake.prepare,
            sheet=intake.sheet, delimiter=intake.delimiter, target=intake.target, evolve=intake.evolve, again=again,
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

        So is an error that nobody foresaw: no feed keeps the others from their turn. False when something of ours was
        wrong, a full disk for example, and what was not done is still due.
        """
        done = True
        for info in self.list():
            try:
                done = self._run(info, now) and done
            except StateUnwritable as exc:
                log.error("feed of %s: %s; tried again later", info.dataset, exc, extra={"dataset": info.dataset})
                done = False
        return done

    def _run(self, info: FeedInfo, now: datetime) -> bool:
        try:
            if info.feed.folder is not None:
                self._take_in_files(info, now)
            elif info.next_at is not None and info.next_at <= now:
                self._refresh(info, now)
        except (StateUnwritable, KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # the border: one feed; libraries in Rust panic beside Exception
            log.exception("feed of %s", info.dataset, extra={"dataset": info.dataset})
            message = _told(exc)
            self._put(info, FeedStatus(ran_at=now, message=message, failed=True))
            return message == info.status.message  # tried once more at once, then at the next sign
        return True

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
                    lambda told: log.warning("feed of %s: %s", info.dataset, told, extra={"dataset": info.dataset}),
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
        (log.error if run.failed else log.info)(
            "feed of %s: %s", info.dataset, run.message, extra={"dataset": info.dataset}
        )

    def _put(self, info: FeedInfo, status: FeedStatus) -> None:
        put_status(self._layout, info.dataset, status)
        self._record.alert(info.dataset, info.feed, status)

    def _take_in_files(self, info: FeedInfo, now: datetime) -> None:
        folder, name, was = Path(info.feed.folder or ""), info.dataset, info.status
        try:
            files = ready_files(folder, now.timestamp())
        except OSError as exc:
            message = f"cannot read the watched folder {folder}: {exc.strerror}"
            self._put(info, FeedStatus(ran_at=now, message=message, failed=True))
            return
        known = KnownFiles(self._layout, name, _fingerprint)
        waiting = [file for file in files if not known.is_settled(file)]
        found = _Found(
            seen=len(files),
            troubles={file.name: told for file in waiting if (told := _known_trouble(was, file)) is not None},
        )
        untried = [file for file in waiting if file.name not in found.troubles]
        untried = [file for file in untried if known.judge(file)[0] is not Standing.READ]
        if untried:
            with self._record.run(name) as run:
                for file in untried:
                    self._bring(info, file, known, found)
                run.message, run.failed = found.message, bool(found.troubles)
        known.keep()
        had_folder = was.ran_at is not None and (bool(was.troubles) or not was.failed)
        if untried or found.troubles != was.troubles or not had_folder:
            self._put(info, found.status(now))

    def _bring(self, info: FeedInfo, file: WatchedFile, known: KnownFiles, found: _Found) -> None:
        """Take a file in unless its rows are there, or it is not the file that it was."""
        standing, once = known.judge(file)
        trouble = None
        if standing is Standing.COPY:
            found.copies.append(f"{file.name} holds what {once} held")
        elif standing is Standing.CHANGED and not info.feed.again:
            trouble = Trouble(
                bytes=file.bytes, changed_ns=file.changed_ns,
                message="it changed after its rows were appended, so none of it was read: give each delivery a name of "
                f"its own; or watch with --again ('appliance data watch {info.dataset} {info.feed.folder} --again') if "
                "a changed file brings new rows; or refresh by a schedule if it is the whole table",
            )  # fmt: skip
        elif standing is not Standing.READ:
            trouble = self._take_in(info.dataset, info.feed, file, once)
            found.taken += trouble is None
        if trouble is None:
            known.settle(file)
        else:
            found.troubles[file.name] = trouble

    def _take_in(self, name: str, feed: Feed, file: WatchedFile, once: str) -> Trouble | None:
        intake = Intake(
            source=str(file.path), query=feed.query, prepare=feed.prepare, sheet=feed.sheet,
            delimiter=feed.delimiter, append=True, evolve=feed.evolve, target=feed.target, once=once,
        )  # fmt: skip
        try:
            found = self._datasets.take_in(name, intake, who="watch", look=False)
        except Conflict:
            return None  # another process was faster
        except (StateUnwritable, sqlite3.Error, OSError, MemoryError):
            raise  # not the file's fault: the pass is tried again
        except (ApplianceError, StorageError) as exc:
            log.error("feed of %s: %s: %s", name, file.name, exc, extra={"dataset": name})
            return Trouble(bytes=file.bytes, changed_ns=file.changed_ns, message=str(exc))
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # the border: one file
            log.exception("feed of %s: %s", name, file.name, extra={"dataset": name})
            return Trouble(bytes=file.bytes, changed_ns=file.changed_ns, message=_told(exc))
        log.info(
            "feed of %s: %s is version %d, %d rows in all", name, file.name, found.version, found.rows,
            extra={"dataset": name},
        )  # fmt: skip
        return None


@dataclass(slots=True, kw_only=True)
class _Found:
    """What became of a folder's files so far."""

    seen: int
    troubles: dict[str, Trouble]
    taken: int = 0
    copies: list[str] = field(default_factory=list)

    @property
    def message(self) -> str:
        told = f"{self.taken} new of {self.seen} files were appended."
        if self.copies:
            told += f" Not appended a second time: {'; '.join(self.copies[:SHOWN_TROUBLES])}."
        if self.troubles:
            some = list(self.troubles.items())[:SHOWN_TROUBLES]
            told += f" {len(self.troubles)} could not be: " + "; ".join(f"{name}: {one.message}" for name, one in some)
        return told

    def status(self, now: datetime) -> FeedStatus:
        return FeedStatus(ran_at=now, message=self.message, failed=bool(self.troubles), troubles=self.troubles)


def _told(exc: BaseException) -> str:
    if isinstance(exc, ApplianceError | StorageError):
        return str(exc)
    first = next((line.strip() for line in str(exc).splitlines() if line.strip()), "")
    return UNEXPECTED.format(told=f"{type(exc).__name__}: {first[:200]}" if first else type(exc).__name__)


def _fingerprint(file: WatchedFile) -> str | None:
    """The hash that an ingest of the file records; None where it cannot be read, which the ingest will tell."""
    from storage.source_files import find_files, hash_files  # noqa: PLC0415  (loads Arrow)

    try:
        return hash_files(find_files(str(file.path)))
    except SourceUnreadable:
        return None


def _known_trouble(status: FeedStatus, file: WatchedFile) -> Trouble | None:
    """What was wrong with the file, where it has not changed since."""
    known = status.troubles.get(file.name)
    return known if known is not None and (known.bytes, known.changed_ns) == (file.bytes, file.changed_ns) else None
