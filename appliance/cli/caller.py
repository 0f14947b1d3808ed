"""Who typed a command, as the audit, the datasets and the jobs tell it."""

from __future__ import annotations

import getpass
import os
import pwd
from pathlib import Path

_NOBODY = 0xFFFFFFFF
"""The kernel's login user of a process that no login began."""


def caller() -> str:
    """``cli:NAME``: a user of the host, which cannot be taken for one of the dashboard, whose names have no colon.

    Behind ``su`` and ``sudo`` the one who logged in, or, where nobody did, the one who called ``sudo``: root, and the
    owner of the state, as whom root's commands work, are nobody whom one could ask.
    """
    return f"cli:{_find_login() or os.environ.get('SUDO_USER') or _find_user()}"


def _find_login() -> str | None:
    """Who logged in, as the kernel remembers it; None where nobody did, as in a container or a unit."""
    try:
        uid = int(Path("/proc/self/loginuid").read_text())
        return None if uid == _NOBODY else pwd.getpwuid(uid).pw_name
    except (OSError, ValueError, KeyError):
        return None


def _find_user() -> str:
    """Who runs this process; a container may have no name for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid {os.getuid()}"
