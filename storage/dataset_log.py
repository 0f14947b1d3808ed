"""The log of a dataset's Delta table, read once from the first commit to the last."""

from __future__ import annotations

import json
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import msgspec

from storage.errors import SnapshotNotFound

COMMIT_KEY = "appliance"
"""Our entry in a Delta commit: the ``IngestInfo`` and the mode, as JSON."""

FORGOTTEN = "_forgotten.json"
"""Beside the log: the versions whose files went; Delta's readers pass over it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """A file that a commit adds."""

    bytes: int
    rows: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """What one commit changed.

    Attributes:
        version: Of the snapshot, from 1.
        at_ms: Milliseconds since 1970.
        facts: What the ingest knew of itself.
        schema: Delta's, as JSON; None where it did not change.
        added: By the path below the dataset's folder.
        removed: Paths of files that are not part of it any more.
    """

    version: int
    at_ms: int
    facts: Mapping[str, Any]
    schema: str | None
    added: Mapping[str, Added]
    removed: frozenset[str]


def commit_path(path: Path, version: int) -> Path:
    """Where the commit of a snapshot lies, below the dataset's folder."""
    return path / "_delta_log" / f"{version - 1:020d}.json"


def newest_version(path: Path) -> int:
    """The version of a dataset's newest snapshot; 0 where there is none. Commits have no gaps, so few are looked at."""
    low, high = 0, 1
    while commit_path(path, high).is_file():
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if commit_path(path, middle).is_file() else (low, middle)
    return low


def live_files(path: Path, version: int, *, most: int) -> set[str] | None:
    """The files of a snapshot, from the commit that last replaced all rows on; None where those are more than ``most``.

    Raises:
        SnapshotNotFound: A commit is damaged.
    """
    since: list[Commit] = []
    for at in range(version, 0, -1):
        if len(since) == most:
            return None
        since.append(read_commit(commit_path(path, at), at))
        if since[-1].facts.get("mode") == "replace":
            break
    files = set[str]()
    for commit in reversed(since):
        files = files - commit.removed | commit.added.keys()
    return files


def read_commits(path: Path) -> Iterator[Commit]:
    """Every commit of a dataset's folder, the oldest first; none where there is no dataset.

    Raises:
        SnapshotNotFound: One is damaged.
    """
    version = 1
    while (file := commit_path(path, version)).is_file():
        yield read_commit(file, version)
        version += 1


def read_commit(file: Path, version: int) -> Commit:
    """One commit.

    Raises:
        SnapshotNotFound: It is damaged.
    """
    try:
        with file.open(encoding="utf-8") as lines:
            entries = [json.loads(line) for line in lines]
        info = next(entry["commitInfo"] for entry in entries if "commitInfo" in entry)
        return Commit(
            version=version,
            at_ms=int(info["timestamp"]),
            facts=json.loads(info.get(COMMIT_KEY, "{}")),
            schema=next((entry["metaData"]["schemaString"] for entry in entries if "metaData" in entry), None),
            added={unquote(entry["add"]["path"]): _added(entry["add"]) for entry in entries if "add" in entry},
            removed=frozenset(unquote(entry["remove"]["path"]) for entry in entries if "remove" in entry),
        )
    except (OSError, ValueError, KeyError, StopIteration) as exc:
        raise SnapshotNotFound(f"{file} is damaged: {exc}; restore it from a backup") from exc


def _added(entry: Mapping[str, Any]) -> Added:
    return Added(bytes=int(entry["size"]), rows=int(json.loads(entry.get("stats") or "{}").get("numRecords", 0)))


def read_forgotten(path: Path) -> frozenset[int]:
    """The versions of a dataset's folder whose files went.

    Raises:
        SnapshotNotFound: The file that names them is damaged.
    """
    try:
        return frozenset(msgspec.json.decode((path / FORGOTTEN).read_bytes(), type=list[int]))
    except (FileNotFoundError, NotADirectoryError):
        return frozenset()
    except (OSError, msgspec.MsgspecError) as exc:
        raise SnapshotNotFound(f"{path / FORGOTTEN} is damaged: {exc}; restore it from a backup") from exc


@dataclass(frozen=True, slots=True, kw_only=True)
class FileSpan:
    """A file of a dataset, and the versions that have it: from ``first`` to the one before ``end``."""

    file: str
    bytes: int
    first: int
    end: int

    def within(self, versions: Sequence[int]) -> Sequence[int]:
        """Those of some versions, ascending, that have the file."""
        return versions[bisect_left(versions, self.first) : bisect_left(versions, self.end)]


def list_spans(commits: Sequence[Commit]) -> list[FileSpan]:
    """Every file that some version has or had."""
    since: dict[str, tuple[int, int]] = {}
    found: list[FileSpan] = []
    for commit in commits:
        found += [
            FileSpan(file=file, bytes=known[1], first=known[0], end=commit.version)
            for file in commit.removed
            if (known := since.pop(file, None)) is not None
        ]
        since |= {file: (commit.version, added.bytes) for file, added in commit.added.items()}
    end = len(commits) + 1
    return found + [FileSpan(file=file, bytes=size, first=first, end=end) for file, (first, size) in since.items()]


def needed_files(path: Path) -> set[str]:
    """The files of the versions that were not forgotten.

    Raises:
        SnapshotNotFound: A commit is damaged.
    """
    commits, forgotten = list(read_commits(path)), read_forgotten(path)
    kept = [commit.version for commit in commits if commit.version not in forgotten]
    return {span.file for span in list_spans(commits) if span.within(kept)}
