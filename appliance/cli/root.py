"""Root works on an appliance's state as the user who owns it, so that no file becomes root's."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import struct
import tomllib
from collections.abc import Sequence
from pathlib import Path

_NEEDS_ROOT = {"up", "down", "status", "logs", "doctor"}
"""Under systemd these talk to it, and look at other users' processes."""
_READS_NO_FILES = {"up", "serve", "migrate"}
"""These never touch a file that the caller names."""

_PR_SET_KEEPCAPS = 8
_CAPABILITY_VERSION_3 = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1 << 1, 1 << 2


def act_as_owner(words: Sequence[str]) -> None:
    """Drop from root to the owner of the state directory, for good.

    Root's own files stay readable, and writable for results, in the verbs that are given files: the two capabilities
    for that are kept. What is written belongs to the owner of the state.
    """
    if os.geteuid() != 0 or not words:
        return
    state, systemd = find_state()
    if systemd and words[0] in _NEEDS_ROOT:
        return
    try:
        owner = pwd.getpwuid(state.stat().st_uid)
    except (OSError, KeyError):
        return  # not made yet, or no such user: whoever we are will own it
    if owner.pw_uid == 0:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    keep = words[0] not in _READS_NO_FILES
    if keep:
        libc.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.initgroups(owner.pw_name, owner.pw_gid)
    os.setgid(owner.pw_gid)
    os.setuid(owner.pw_uid)
    if keep:
        header = struct.pack("Ii", _CAPABILITY_VERSION_3, 0)
        kept = _DAC_OVERRIDE | _DAC_READ_SEARCH
        libc.capset(header, struct.pack("6I", kept, kept, 0, 0, 0, 0))
    os.environ["HOME"] = owner.pw_dir
    os.umask(0o027)


def find_state() -> tuple[Path, bool]:
    """The state directory and whether systemd runs the processes, looked up without the settings' libraries."""
    found: dict[str, object] = {}
    if config := os.environ.get("APPLIANCE_CONFIG"):
        with contextlib.suppress(OSError, ValueError):  # the settings say what is wrong with the file
            found = tomllib.loads(Path(config).read_text(encoding="utf-8"))
    state = os.environ.get("APPLIANCE_STATE") or str(found.get("state", "/var/lib/appliance"))
    return Path(state), found.get("systemd") is True
