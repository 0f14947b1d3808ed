"""Root works on an appliance's state as the user who owns it, so that no file becomes root's."""

from __future__ import annotations

import os
import pwd
import tomllib
from collections.abc import Sequence
from pathlib import Path

_NEEDS_ROOT = {"up", "down", "status", "logs", "doctor"}
"""These talk to systemd and to other users' processes."""


def act_as_owner(tokens: Sequence[str]) -> None:
    """Drop from root to the owner of the state directory for verbs that write there; once dropped, for good."""
    if os.geteuid() != 0 or not tokens or tokens[0] in _NEEDS_ROOT:
        return
    try:
        owner = pwd.getpwuid(find_state().stat().st_uid)
    except (OSError, KeyError):
        return  # not made yet, or no such user: whoever we are will own it
    if owner.pw_uid == 0:
        return
    os.initgroups(owner.pw_name, owner.pw_gid)
    os.setgid(owner.pw_gid)
    os.setuid(owner.pw_uid)
    os.environ["HOME"] = owner.pw_dir
    os.umask(0o027)


def find_state() -> Path:
    """The state directory, looked up without the settings' libraries: environment, file, default."""
    if found := os.environ.get("APPLIANCE_STATE"):
        return Path(found)
    if config := os.environ.get("APPLIANCE_CONFIG"):
        try:
            return Path(str(tomllib.loads(Path(config).read_text())["state"]))
        except (OSError, KeyError, tomllib.TOMLDecodeError):
            pass  # the settings say what is wrong with the file
    return Path("/var/lib/appliance")
