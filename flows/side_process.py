"""A process beside the runner that does one thing and ends."""

from __future__ import annotations

import subprocess
import sys

STOP_GRACE_S = 5.0
"""Between being asked to end and being killed; what it does may be killed anywhere."""


class SideProcess:
    """At most one process of a module at a time."""

    def __init__(self, module: str) -> None:
        self._module = module
        self._process: subprocess.Popen[bytes] | None = None

    def is_running(self) -> bool:
        """Whether one runs, or ended and was not reaped yet."""
        return self._process is not None

    def reap(self) -> int | None:
        """The exit code of one that has ended since, once."""
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._process = None
        return code

    def start(self) -> None:
        """Start one, in a session of its own: niceness acts within one, and so does our own end."""
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", self._module], stdin=subprocess.DEVNULL, start_new_session=True
        )

    def stop(self) -> None:
        """End one that runs."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None
