"""Who has a file open."""

from __future__ import annotations

import os
from pathlib import Path


def describe_holders(path: Path) -> str:
    """The other processes that have a file open, by number and command; as far as this user may see them."""
    found = []
    for folder in Path("/proc").glob("[0-9]*/fd"):
        if folder.parent.name == str(os.getpid()):
            continue
        try:
            if any(entry.readlink() == path.absolute() for entry in folder.iterdir()):
                command = (folder.parent / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found.append(f"process {folder.parent.name} ({command.strip()[:120]})")
        except OSError:
            continue  # it has ended, or is another user's
    return ", ".join(found) or "another process"
