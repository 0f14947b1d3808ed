"""Old snapshots of a dataset, forgotten: their files go where no other snapshot has them, their commits stay."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import msgspec

from storage.bundles import replace_durably
from storage.dataset_log import FORGOTTEN, Commit, list_spans, needed_files, read_commits, read_forgotten
from storage.datasets import REJECTED, dataset_path
from storage.errors import StateUnwritable
from storage.ingest import alone
from storage.layout import Layout
from storage.stillness import standing_still


@dataclass(frozen=True, slots=True, kw_only=True)
class OldSnapshot:
    """A snapshot that may be forgotten; ``bytes`` go when it is, and those before it in the same list are."""

    dataset: str
    version: int
    bytes: int


def list_old_snapshots(
    layout: Layout, dataset: str, *, before_ms: int, newest: int, kept: Collection[int]
) -> list[OldSnapshot]:
    """Snapshots that nothing keeps, the oldest first; never the newest of all.

    Args:
        layout: Where.
        dataset: Whose.
        before_ms: Younger ones are kept: milliseconds since 1970.
        newest: So many of the newest are kept, at least one.
        kept: Versions that somebody needs.

    Raises:
        SnapshotNotFound: The log is damaged.
    """
    path = dataset_path(layout, dataset)
    forgotten = read_forgotten(path)
    commits = list(read_commits(path))
    old = [
        commit.version
        for commit in commits[: -max(newest, 1)]
        if commit.at_ms < before_ms and commit.version not in kept and commit.version not in forgotten
    ]
    stay = [commit.version for commit in commits if commit.version not in forgotten.union(old)]
    freed = {version: _size(rejected) for version in old if (rejected := _rejected(path, commits[version - 1]))}
    for span in list_spans(commits):
        if (last := span.within(old)) and not span.within(stay):
            freed[last[-1]] = freed.get(last[-1], 0) + span.bytes
    return [OldSnapshot(dataset=dataset, version=version, bytes=freed.get(version, 0)) for version in old]


def forget_snapshots(layout: Layout, dataset: str, versions: Collection[int]) -> None:
    """Let snapshots go; killed half way, the next call finishes it.

    A version that is forgotten is told first, then its files go. Neither an ingest nor a backup runs meanwhile.

    Raises:
        SnapshotNotFound: The log is damaged.
        StateUnwritable: The disk is read-only.
    """
    path = dataset_path(layout, dataset)
    with alone(layout, dataset), standing_still(layout):
        commits, forgotten = list(read_commits(path)), read_forgotten(path).union(versions)
        replace_durably(path / FORGOTTEN, msgspec.json.encode(sorted(forgotten)))
        needed = needed_files(path)
        spare = [path / file for commit in commits for file in commit.added if file not in needed]
        for commit in commits:
            if commit.version in forgotten:
                spare.append(path / "_profiles" / f"{commit.version}.json")
                spare += [rejected] if (rejected := _rejected(path, commit)) else []
        try:
            for file in spare:
                file.unlink(missing_ok=True)
        except OSError as exc:
            raise StateUnwritable(f"cannot remove {exc.filename}: {exc.strerror}; run 'appliance doctor'") from exc


def _rejected(path: Path, commit: Commit) -> Path | None:
    file = commit.facts.get("rejected_file")
    return None if file is None else path / REJECTED / str(file)


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0
