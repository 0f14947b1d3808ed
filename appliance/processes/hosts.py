"""What an upgrade does to the running processes: as units of systemd, or under our own supervisor."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from appliance.processes.control import down, status
from appliance.processes.ledger import find_ledger
from appliance.processes.units import TARGET
from appliance.settings import Settings

UNITS = Path("/etc/systemd/system")
_QUIET = "--quiet"
"""Without it systemctl warns that their sockets would start them again, which is meant."""
WRITERS = tuple(f"appliance-{name}.service" for name in ("ui", "runner", "mlflow", "orchestrator"))
"""Whoever writes a database; the API writes events alone."""
SERVING = "appliance-api.service"
TLS = "appliance-tls.service"
"""Writes nothing and serves on in front of the API's socket meanwhile; runs only where it was asked for."""


class Host(Protocol):
    """The processes of an appliance, seen by an upgrade."""

    def is_up(self) -> bool:
        """Whether it is meant to run now."""

    def stop_writers(self) -> None:
        """Stop whoever writes a database; serving goes on where it can."""

    @contextmanager
    def switching(self) -> Iterator[None]:
        """Nothing serves, and whatever starts meanwhile waits until this is over."""

    def place_units(self, release: Path, other: Path) -> None:
        """Install the units of a release instead of the other's."""

    def start(self) -> None:
        """Start what was stopped; whether it became well is asked elsewhere."""


class UnitsHost:
    """Systemd's units. Their sockets stay open, so that requests wait while the API is not there."""

    def __init__(self, base: Path) -> None:
        self._base = base

    def is_up(self) -> bool:
        """The target is active."""
        return _systemctl("is-active", "-q", TARGET) == 0

    def stop_writers(self) -> None:
        """All but the API; the runner first, which tells the orchestrator what became of its jobs."""
        _systemctl("stop", _QUIET, "appliance-runner.service")
        _systemctl("stop", _QUIET, *WRITERS, "appliance-backup.service")

    @contextmanager
    def switching(self) -> Iterator[None]:
        """The API is stopped; a request that comes starts it again, and ``bin/appliance`` waits for the lock."""
        with (self._base / ".switch").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            _systemctl("stop", _QUIET, SERVING, *WRITERS)
            yield

    def place_units(self, release: Path, other: Path) -> None:
        """Copy what differs, remove what only the other has, reload."""
        here, there = release / "systemd" / "units", other / "systemd" / "units"
        wanted = {path.relative_to(here) for path in here.rglob("*") if path.is_file()}
        for name in {path.relative_to(there) for path in there.rglob("*") if path.is_file()} - wanted:
            (UNITS / name).unlink(missing_ok=True)
        for name in sorted(wanted):
            if not (UNITS / name).is_file() or (UNITS / name).read_bytes() != (here / name).read_bytes():
                (UNITS / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(here / name, UNITS / name)
        _systemctl("daemon-reload")

    def start(self) -> None:
        """Without waiting: at boot this runs before they may start; the target brings whatever is new."""
        _systemctl("start", "--no-block", SERVING, *(name for name in WRITERS if "mlflow" not in name), TARGET)
        if not self._runs_current(TLS):
            _systemctl("try-restart", "--no-block", TLS)

    def _runs_current(self, unit: str) -> bool:
        """Whether a unit's process is known to be of the current release; restarting it would cut its callers off."""
        pid = _ask("show", "--value", "-p", "MainPID", unit)
        try:
            program = (Path("/proc") / pid / "cmdline").read_bytes().partition(b"\0")[0].decode()
        except (OSError, ValueError):
            return False
        return Path(program).is_relative_to((self._base / "current").resolve())


class SupervisedHost:
    """Our own supervisor, which has no sockets to hold: the appliance is down while the releases change."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    def is_up(self) -> bool:
        """The supervisor runs."""
        ledger = find_ledger(self._settings.layout)
        return ledger is not None and ledger.is_alive()

    def stop_writers(self) -> None:
        """Everything: it cannot be stopped one by one."""
        down(self._settings)

    @contextmanager
    def switching(self) -> Iterator[None]:
        """Everything is down."""
        down(self._settings)
        yield

    def place_units(self, release: Path, other: Path) -> None:
        """There are none."""

    def start(self) -> None:
        """``up`` does, when it is asked whether all is well."""


def find_host(settings: Settings, base: Path) -> Host:
    """The host that these settings speak of."""
    return UnitsHost(base) if settings.systemd else SupervisedHost(settings)


def restarts(settings: Settings) -> dict[str, int]:
    """How often each process was started again."""
    return {service.name: service.restarts for service in status(settings, weigh=False).services}


def owner_of(path: Path) -> tuple[int, int] | None:
    """User and group of the state where we are root and it is not root's, so that no file becomes root's."""
    facts = path.stat()
    return (facts.st_uid, facts.st_gid) if os.geteuid() == 0 and facts.st_uid else None


def _ask(*arguments: str) -> str:
    done = subprocess.run(
        ["systemctl", "--no-pager", *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    return done.stdout.strip()


def _systemctl(*arguments: str) -> int:
    return subprocess.run(["systemctl", "--no-pager", *arguments], stdin=subprocess.DEVNULL, check=False).returncode
