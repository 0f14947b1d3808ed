"""A restored state takes the place of the one that is there, by renames that are finished after any interruption."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from storage.bundles import replace_durably
from storage.errors import StateUnwritable
from storage.layout import Layout

ASIDE = "replaced-"
"""Top folders of the state that begin so hold what a restore took away; an operator removes them."""
_STAY = frozenset({"tmp", "run", "logs", "backups", "figures", "upgrade", "restore.json", "lost+found"})


class Swap(msgspec.Struct, frozen=True, kw_only=True):
    """What is being swapped: top-level names that go to ``aside``, and that come from ``staging``, below the state."""

    staging: str
    aside: str
    going: list[str]
    coming: list[str]


def begin_swap(layout: Layout, staging: Path, aside: str) -> Path | None:
    """Put everything below ``staging`` in the state's place; what was there goes to the folder ``aside``.

    Once the intention is written, a process that is killed is followed by one that finishes (``finish_swap``).

    Returns:
        Where the earlier state lies now; None when there was none.

    Raises:
        StateUnwritable: The disk is full or read-only, or a folder of the state is a disk of its own.
    """
    there = {path.name for path in layout.root.iterdir() if not path.name.startswith((ASIDE, ".writable-"))} - _STAY
    if mounts := sorted(str(layout.root / name) for name in there if (layout.root / name).is_mount()):
        raise StateUnwritable(
            f"{', '.join(mounts)}: a disk of its own, which cannot be put aside; nothing was touched. Unmount it, "
            "restore, then move what was restored there onto the disk and mount it again"
        )
    coming = sorted(path.name for path in staging.iterdir())
    swap = Swap(
        staging=str(staging.relative_to(layout.root)), aside=aside, going=sorted(there), coming=coming
    )  # fmt: skip
    held = any(_holds_files(layout.root / name) for name in there)
    replace_durably(_marker(layout), msgspec.json.encode(swap))
    finish_swap(layout)
    return layout.root / aside if held else None


def finish_swap(layout: Layout) -> bool:
    """Finish a swap that was begun; False when none was.

    Raises:
        StateUnwritable: It cannot be finished.
    """
    try:
        swap = msgspec.json.decode(_marker(layout).read_bytes(), type=Swap)
    except FileNotFoundError:
        return False
    except (OSError, msgspec.DecodeError) as exc:
        raise StateUnwritable(
            f"{_marker(layout)} cannot be read: {exc}; restore the backup again, or remove it"
        ) from exc
    staging, aside = layout.root / swap.staging, layout.root / swap.aside
    if lost := [name for name in swap.coming if not ((staging / name).exists() or _is_in_place(name, swap, layout))]:
        raise StateUnwritable(
            f"a restore was interrupted, and what it still had to put in place is gone: {', '.join(lost)}; restore the "
            f"backup again with --replace ({aside} holds what was there before)"
        )
    try:
        aside.mkdir(mode=0o700, exist_ok=True)
        for name in swap.going:
            # Once the restored one has left the staging, what lies there is that one.
            if name not in swap.coming or (staging / name).exists():
                _move(layout.root / name, aside / name)
        for name in swap.coming:
            _move(staging / name, layout.root / name)
        _sync(layout.root)
        _marker(layout).unlink()
        if not any(_holds_files(path) for path in aside.iterdir()):
            _remove_empty(aside)
        _sync(layout.root)
    except OSError as exc:
        raise StateUnwritable(
            f"the restored state cannot be put in place below {layout.root}: {exc.strerror}; "
            "mend that and run 'appliance migrate', which goes on with it"
        ) from exc
    return True


def _is_in_place(name: str, swap: Swap, layout: Layout) -> bool:
    """Whether what stands there is the restored one: the earlier one has been put aside, if there was one."""
    aside = layout.root / swap.aside / name
    return (layout.root / name).exists() and (name not in swap.going or aside.exists())


def is_swapping(layout: Layout) -> bool:
    """Whether a restore was interrupted between two renames."""
    return _marker(layout).exists()


def _marker(layout: Layout) -> Path:
    return layout.root / "restore.json"


def _move(source: Path, target: Path) -> None:
    if source.exists() and not target.exists():
        source.rename(target)


def _holds_files(path: Path) -> bool:
    return path.is_file() or (path.is_dir() and any(one.is_file() for one in path.rglob("*")))


def _remove_empty(folder: Path) -> None:
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir()
    folder.rmdir()


def _sync(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
