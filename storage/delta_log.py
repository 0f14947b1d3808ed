"""The log of a Delta table on the disk: Delta's library flushes nothing, so a power cut may leave names without bytes.

What an acknowledged change wrote is flushed by ``sync_log`` before it is acknowledged. What lost its bytes nobody was
told of: ``mend_logs`` takes it away, since one such file keeps a whole table, or the list of all, from being read.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from pathlib import Path

from storage.errors import StateUnwritable
from storage.layout import Layout

LOG, HINT = "_delta_log", "_last_checkpoint"
"""A table's log; the file in it that names the newest checkpoint. Commits since that one are read beside it."""

log = logging.getLogger("appliance.storage")


def sync_log(table: Path, folders: Iterable[Path] = ()) -> None:
    """Wait until the disk has the newest commit of a table, and the checkpoint that was written with it.

    Args:
        table: Its folder.
        folders: Others whose names are to be there, such as those of the commit's files.
    """
    folder = table / LOG
    newest = max(folder.glob("*.json"))
    written = [newest, *folder.glob(f"{newest.stem}.checkpoint*"), *folder.glob(HINT)]
    for each in (*written, folder, *folders, table):
        flush(each)


def flush(path: Path) -> None:
    """Wait until the disk has a file's bytes, or a folder's names."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def mend_logs(layout: Layout) -> None:
    """Take away what a power cut left without bytes in the logs of all tables: a commit, a checkpoint.

    A commit is named once it is written, so that none of a process that lives is empty; a checkpoint repeats what the
    commits say.

    Raises:
        StateUnwritable: The state directory is read-only.
    """
    for folder in (*layout.datasets.glob(f"*/{LOG}"), *layout.history.glob(f"*/{LOG}")):
        try:
            checkpoints = [path for path in folder.glob("*.checkpoint*.parquet") if not path.stat().st_size]
            commit = max(folder.glob("*.json"), default=None)
            torn = [commit] if commit is not None and not commit.stat().st_size else []
            # A name that points to nothing is worse than none: every commit and older checkpoint is found without it.
            hints = [folder / HINT] if checkpoints else []
            for path in (*hints, *checkpoints, *torn):
                path.unlink(missing_ok=True)
                log.warning("%s was taken away: a power cut had left it empty before anybody was told of it", path)
        except FileNotFoundError:
            continue  # somebody writes this one now, and old ones go
        except OSError as exc:
            raise StateUnwritable(f"cannot mend {folder}: {exc.strerror}; run 'appliance doctor'") from exc
