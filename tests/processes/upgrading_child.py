"""Upgrades and does something at a step: ``python -m tests.processes.upgrading_child BASE VERB DEED STEP``.

Deeds: ``kill``, ``interrupt`` (Ctrl-C), ``hangup`` (its terminal goes away) and ``stop`` this process; ``write`` a key
with the current release's command, as often as the step comes; ``hold`` a transaction open for a second in another
process; ``full``: from the step on no file of more than 16 kB can be written.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

from appliance.processes.hosts import find_host
from appliance.processes.interruptions import hear_interruptions
from appliance.processes.upgrade import Upgrade
from appliance.settings import load_settings

SIGNALS = {"kill": signal.SIGKILL, "interrupt": signal.SIGINT, "hangup": signal.SIGHUP, "stop": signal.SIGTERM}
HOLD = (
    "import sqlite3, sys, time; db = sqlite3.connect(sys.argv[1], isolation_level=None); db.execute('BEGIN IMMEDIATE');"
    " db.execute(\"UPDATE keys SET name = 'held'\"); print(flush=True); time.sleep(1); db.execute('COMMIT');"
    " db.execute('SELECT 1 FROM keys').fetchall(); time.sleep(1)"
)


def main() -> None:
    base, verb, deed, last = Path(sys.argv[1]), *sys.argv[2:5]
    settings = load_settings()
    count = 0
    for one in SIGNALS.keys() - {"kill"}:  # whoever runs the tests may have ignored them
        signal.signal(SIGNALS[one], signal.SIG_DFL)
    hear_interruptions()

    def step(name: str) -> None:
        nonlocal count
        if name != last:
            return
        count += 1
        if deed in SIGNALS:
            os.kill(os.getpid(), SIGNALS[deed])
        elif deed == "full":
            resource.setrlimit(resource.RLIMIT_FSIZE, (16_384, 16_384))
        elif deed == "write":
            write(base, f"during-{count}")
        elif count == 1:
            hold(settings.layout.database)

    upgrade = Upgrade(settings, base, find_host(settings, base), step=step)
    if verb == "to":
        sys.exit(upgrade.to("two", backup=False))
    if verb == "back":
        sys.exit(upgrade.back(yes=True))
    upgrade.recover()


def write(base: Path, name: str) -> None:
    """Say the name when the key was acknowledged."""
    python = base / "current" / "venv" / "bin" / "python"
    words = ("key", "create", name, "--scope", "read")
    if subprocess.run([python, "-P", "-m", "appliance.cli.main", *words], capture_output=True, check=False).returncode:
        return
    sys.stdout.write(f"{name}\n")


def hold(database: Path) -> None:
    """Returns when the transaction is open; its process goes on."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(database)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()


if __name__ == "__main__":
    main()
