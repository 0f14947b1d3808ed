"""Who has a file open."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path


def describe_holders(path: Path) -> str:
    """The other processes that have a file open, by number and command; as far as this user may see them."""
    return describe(find_holders(path))


def find_holders(path: Path) -> dict[int, list[str]]:
    """The words of the commands of the other processes that have a file open, by number; as far as one may see them."""
    found = {}
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if folder.parent.name == str(os.getpid()):
            continue
        try:
            if any(entry.readlink() == path.absolute() for entry in folder.iterdir()):
                command = (folder.parent / "cmdline").read_bytes().decode(errors="replace")
                found[int(folder.parent.name)] = command.rstrip("\0").split("\0")
        except OSError:
            continue  # it has ended, or is another user's
    return found


def describe(holders: Mapping[int, Sequence[str]]) -> str:
    """What ``find_holders`` found as one text, each command cut at 120 characters."""
    found = [f"process {number} ({' '.join(words).strip()[:120]})" for number, words in holders.items()]
    return ", ".join(found) or "another process"
