"""Which files of a watched folder bring rows that are not there yet, by their names and by what they hold."""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum

from appliance.feed_signs import WatchedFile
from storage.dataset_log import newest_version, read_commits
from storage.datasets import dataset_path
from storage.feeds import Seen, SeenFile, find_seen, put_seen
from storage.layout import Layout

_PREFIX = "watched:"
_AGAIN = re.compile(r"watched:(.*)#[0-9a-f]{64}", re.DOTALL)


class Standing(Enum):
    """What a file is to the dataset.

    NEW: neither its name nor what it holds was read. READ: it was, as it is. COPY: what it holds was read under another
    name, or earlier under its own. CHANGED: it was read, and holds something else now.
    """

    NEW = "new"
    READ = "read"
    COPY = "copy"
    CHANGED = "changed"


class KnownFiles:
    """The files that a dataset took in, from its log: the commit that adds a file's rows names the file and its hash.

    What was seen of files that are known is kept beside the dataset, so that they are not hashed again; it counts as
    long as the log is no older.
    """

    def __init__(self, layout: Layout, dataset: str, fingerprint: Callable[[WatchedFile], str | None]) -> None:
        """``fingerprint`` gives the sha256 of a file, or None where it cannot be read."""
        self._layout = layout
        self._dataset = dataset
        self._path = dataset_path(layout, dataset)
        self._fingerprint = fingerprint
        kept = find_seen(layout, dataset)
        self._seen = dict(kept.files) if kept.version <= newest_version(self._path) else {}
        self._kept = dict(self._seen)
        self._log: tuple[dict[str, str | None], dict[str, str]] | None = None

    def is_settled(self, file: WatchedFile) -> bool:
        """Whether it is known, and has the size and the time that it had then."""
        seen = self._seen.get(file.name)
        return seen is not None and (seen.bytes, seen.changed_ns) == (file.bytes, file.changed_ns)

    def judge(self, file: WatchedFile) -> tuple[Standing, str]:
        """What a file is; with the name under which a copy was read, else with the name for ``IngestInfo.once``."""
        names, holders = self._read_log()
        sha256 = self._fingerprint(file)
        if file.name in names:
            was = names[file.name]
            if sha256 is None or was in {None, sha256}:
                self.settle(file)
                return Standing.READ, ""
        if sha256 is not None and sha256 in holders:
            return Standing.COPY, holders[sha256]
        if file.name in names:
            return Standing.CHANGED, f"{_PREFIX}{file.name}#{sha256}"
        return Standing.NEW, f"{_PREFIX}{file.name}"

    def settle(self, file: WatchedFile) -> None:
        """From now on the file is known as it is."""
        self._seen[file.name] = SeenFile(bytes=file.bytes, changed_ns=file.changed_ns)
        self._log = None

    def keep(self) -> None:
        """Keep what was seen.

        Raises:
            StateUnwritable: The disk is full or read-only.
        """
        if self._seen != self._kept:
            put_seen(self._layout, self._dataset, Seen(version=newest_version(self._path), files=self._seen))

    def _read_log(self) -> tuple[dict[str, str | None], dict[str, str]]:
        if self._log is None:
            names: dict[str, str | None] = {}
            holders: dict[str, str] = {}
            for commit in read_commits(self._path):
                once, sha256 = str(commit.facts.get("once") or ""), commit.facts.get("sha256")
                if once.startswith(_PREFIX):
                    again = _AGAIN.fullmatch(once)
                    name = again.group(1) if again else once.removeprefix(_PREFIX)
                    names[name] = sha256
                    if sha256 is not None:
                        holders.setdefault(sha256, name)
            self._log = names, holders
        return self._log
