"""Tries from inside a unit what its hardening forbids: ``probe.py OUT``; runs on a bare python3.

Writes a JSON object to OUT: each attempt, and how it was refused (an errno's name), or ``null`` where it succeeded.
"""

from __future__ import annotations

import ctypes
import errno
import json
import os
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
PTRACE_ATTACH = 16
INIT_MODULE = {"x86_64": 175, "aarch64": 105}[os.uname().machine]
"""The system call's number, which has no name in the C library."""


def call(name: str, *arguments: object) -> None:
    if getattr(LIBC, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def make_setuid() -> None:
    path = Path("/var/lib/appliance/tmp/probe-suid")
    path.touch()
    try:
        path.chmod(0o4755)
    finally:
        path.unlink()


ATTEMPTS: dict[str, Callable[[], object]] = {
    "write /etc": lambda: Path("/etc/probe").write_text("x"),
    "write /usr": lambda: Path("/usr/probe").write_text("x"),
    "write the releases": lambda: Path("/opt/appliance/probe").write_text("x"),
    "write the settings": lambda: os.open("/etc/appliance/appliance.toml", os.O_WRONLY),
    "write a kernel setting": lambda: Path("/proc/sys/kernel/panic").write_text("0"),
    "write a control group": lambda: Path("/sys/fs/cgroup/probe").mkdir(),
    "list /root": lambda: os.listdir("/root"),  # noqa: PTH208
    "open a disk": lambda: os.open("/dev/loop0", os.O_RDONLY),
    "open the kernel's log": lambda: os.open("/dev/kmsg", os.O_RDONLY),
    "become root": lambda: os.setuid(0),
    "mount": lambda: call("mount", b"none", b"/mnt", b"tmpfs", 0, None),
    "make a user namespace": lambda: call("unshare", CLONE_NEWUSER),
    "make a network namespace": lambda: call("unshare", CLONE_NEWNET),
    "set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "set the host's name": lambda: socket.sethostname("probe"),
    "set a real-time priority": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
    "look into PID 1": lambda: call("ptrace", PTRACE_ATTACH, 1, None, None),
    "end PID 1": lambda: os.kill(1, 9),
    "open a raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "open a packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW),
    "make a setuid file": make_setuid,
    "load a kernel module": lambda: call("syscall", INIT_MODULE, b"", 0, b""),
}


def main() -> None:
    """Try everything."""
    found: dict[str, str | None] = {}
    for name, attempt in ATTEMPTS.items():
        try:
            attempt()
            found[name] = None
        except OSError as exc:
            found[name] = errno.errorcode.get(exc.errno or 0, str(exc))
    Path(sys.argv[1]).write_text(json.dumps(found))


if __name__ == "__main__":
    main()
