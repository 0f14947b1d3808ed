"""Entries of the journal that have fields of their own, in its native protocol: one datagram an entry.

The protocol is systemd's (systemd.io/JOURNAL_NATIVE_PROTOCOL). The standard library alone, since small processes import
it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import struct
import termios
import time
from collections.abc import Mapping
from pathlib import Path

SOCKET = Path("/run/systemd/journal/socket")
_SEALS = fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SEAL


class Journal:
    """The journal's socket, as its native clients use it."""

    def __init__(self, path: Path) -> None:
        self._path = str(path)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)

    def write(self, fields: Mapping[str, str]) -> None:
        """Write one entry; a value may have several lines.

        Args:
            fields: Names in capitals, as ``systemd.journal-fields(7)`` lists them, or of our own.

        Raises:
            OSError: Nobody takes it.
        """
        entry = b"".join(_field(name, value) for name, value in fields.items())
        try:
            self._socket.sendto(entry, self._path)
        except OSError as exc:
            if exc.errno not in {errno.EMSGSIZE, errno.ENOBUFS}:
                raise
            self._write_large(entry)

    def settle(self, *, timeout_s: float = 1.0) -> None:
        """Wait until what was written has been read.

        Only then does the journal ask the kernel which unit its writer is of, who must be there yet: the last words of
        a process that ends at once would stand under no unit.
        """
        end = time.monotonic() + timeout_s
        while self._holds_unread() and time.monotonic() < end:
            time.sleep(0.001)

    def close(self) -> None:
        """Give the socket back."""
        self._socket.close()

    def _holds_unread(self) -> bool:
        return any(fcntl.ioctl(self._socket, termios.TIOCOUTQ, bytes(struct.calcsize("i"))))

    def _write_large(self, entry: bytes) -> None:
        """What no datagram holds goes as a file that nobody changes any more."""
        fd = os.memfd_create("journal-entry", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        try:
            with os.fdopen(fd, "wb", closefd=False) as file:
                file.write(entry)
            fcntl.fcntl(fd, *_SEALS)
            rights = (socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", fd))
            self._socket.sendmsg([], [rights], 0, self._path)
        finally:
            os.close(fd)


def _field(name: str, value: str) -> bytes:
    text = value.encode(errors="backslashreplace")
    if b"\n" not in text:
        return b"%s=%s\n" % (name.encode(), text)
    return b"%s\n%s%s\n" % (name.encode(), struct.pack("<Q", len(text)), text)
