"""What brings a dataset new rows by itself, and how that went: two small files beside the dataset.

What of a watched folder was read is not here: the commit that adds a file's rows names the file and its hash.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TypeVar

import msgspec

from storage.bundles import replace_durably
from storage.errors import SourceUnreadable, StateUnwritable
from storage.layout import Layout


class Feed(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Either a schedule, by which the newest snapshot's source is read again, or a folder of files to append.

    Attributes:
        who: Who declared it.
        declared_at: UTC.
        schedule: A cron expression of five fields, UTC.
        folder: An absolute path; files below it count as well.
        query: SQL that picks the rows of each file; likewise the next four.
        evolve: Take other columns than those that are there.
        again: Append the rows of a file that changed under its name; else that is a trouble.
    """

    who: str
    declared_at: datetime
    schedule: str | None = None
    folder: str | None = None
    query: str | None = None
    prepare: str | None = None
    sheet: str | None = None
    delimiter: str | None = None
    target: str | None = None
    evolve: bool = False
    again: bool = False


class SeenFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file of a watched folder that needs no further look while its size and its time of change stay."""

    bytes: int
    changed_ns: int


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen of the files of a folder, by path below it, when the dataset had that version; 0: none."""

    version: int = 0
    files: dict[str, SeenFile] = {}


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """A file that could not be taken in; it is tried again when its size or its time of change differs."""

    bytes: int
    changed_ns: int
    message: str


class FeedStatus(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How a feed went last.

    Attributes:
        ran_at: When it ran last, UTC; None before that.
        message: What came of it, in a sentence.
        failed: It was not done; the message says why.
        troubles: Files that could not be taken in, by path below the folder.
    """

    ran_at: datetime | None = None
    message: str = ""
    failed: bool = False
    troubles: dict[str, Trouble] = {}


_Kept = TypeVar("_Kept", Feed, FeedStatus, Seen)


def find_feed(layout: Layout, dataset: str) -> Feed | None:
    """The feed of a dataset, or None.

    Raises:
        SourceUnreadable: The file is damaged.
    """
    return _read(layout.datasets / dataset / "_feed.json", Feed)


def find_status(layout: Layout, dataset: str) -> FeedStatus:
    """How the feed of a dataset went last; a damaged file counts as none."""
    try:
        return _read(layout.datasets / dataset / "_feed_status.json", FeedStatus) or FeedStatus()
    except SourceUnreadable:
        return FeedStatus()


def list_fed(layout: Layout) -> list[str]:
    """The datasets that have a feed, sorted."""
    return sorted(path.parent.name for path in layout.datasets.glob("*/_feed.json"))


def put_feed(layout: Layout, dataset: str, feed: Feed | None) -> None:
    """Declare the feed of a dataset, which need not exist yet; None takes it away.

    Raises:
        StateUnwritable: The disk is full or read-only.
    """
    folder = layout.datasets / dataset
    try:
        for name in ("_feed_status.json", "_feed_seen.json", *(("_feed.json",) if feed is None else ())):
            (folder / name).unlink(missing_ok=True)
        if feed is None:
            return
        folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    except OSError as exc:
        raise StateUnwritable(f"cannot write below {folder}: {exc.strerror}; run 'appliance doctor'") from exc
    replace_durably(folder / "_feed.json", msgspec.json.encode(feed))


def put_status(layout: Layout, dataset: str, status: FeedStatus) -> None:
    """Keep how a feed went.

    Raises:
        StateUnwritable: The disk is full or read-only.
    """
    replace_durably(layout.datasets / dataset / "_feed_status.json", msgspec.json.encode(status))


def find_seen(layout: Layout, dataset: str) -> Seen:
    """What was seen of the files that a dataset's feed watches; a damaged file counts as nothing."""
    try:
        return _read(layout.datasets / dataset / "_feed_seen.json", Seen) or Seen()
    except SourceUnreadable:
        return Seen()


def put_seen(layout: Layout, dataset: str, seen: Seen) -> None:
    """Keep what was seen of the files.

    Raises:
        StateUnwritable: The disk is full or read-only.
    """
    replace_durably(layout.datasets / dataset / "_feed_seen.json", msgspec.json.encode(seen))


def _read(path: Path, kind: type[_Kept]) -> _Kept | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, msgspec.MsgspecError) as exc:
        raise SourceUnreadable(f"the feed in {path} cannot be read: {exc}; declare it again") from exc
