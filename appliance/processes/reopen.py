"""``appliance-reopen.service``: opens the units' ports that another program had, once they are free.

While a port is taken systemd is not asked to try, which would write half a dozen lines each time: it is told once that
a port is waited for, and once that it is opened.
"""

from __future__ import annotations

import logging
import subprocess
import sys
import time

from appliance.errors import BadSetting
from appliance.processes.loglines import start_log
from appliance.processes.ports import is_free
from appliance.processes.units import SOCKETS, TARGET

STARTS = {"api": "appliance-api.service", "mlflow": SOCKETS["mlflow"]}
"""What is started for a socket that failed: the API with its port, which it requires; MLflow comes with its callers."""
LOOK_S = 5.0
LONGEST_S = 320.0
"""Between two attempts at a port that is free and cannot be opened all the same."""
log = logging.getLogger("appliance.reopen")


def main() -> int:
    """Look again and again, until no socket has failed or the appliance is stopped."""
    start_log()
    waiting: set[str] = set()
    pause_s = LOOK_S
    while is_wanted() and (failed := [name for name, unit in SOCKETS.items() if _ask(unit, "ActiveState") == "failed"]):
        listens = {name: _ask(SOCKETS[name], "Listen").replace(" (Stream)", "") for name in failed}
        free = [name for name in failed if not is_taken(listens[name])]
        for name in sorted(set(failed) - set(free) - waiting):
            log.error(
                "the port of %s, %s, is taken by another program; it is opened once that is gone; 'appliance doctor' "
                "says who has it", name, listens[name],
            )  # fmt: skip
            waiting.add(name)
        for name in free:
            log.warning("the port of %s, %s, is free and is opened", name, listens[name])
            subprocess.run(["systemctl", "start", STARTS[name]], check=False)
        waiting.difference_update(free)
        pause_s = min(2 * pause_s, LONGEST_S) if free else LOOK_S
        time.sleep(pause_s)
    return 0


def is_wanted() -> bool:
    """Whether the appliance is to run: its target is active, or about to be; who stopped it gets no port opened."""
    return _ask(TARGET, "ActiveState") == "active" or _ask(TARGET, "Job") not in {"", "0"}


def is_taken(listens: str) -> bool:
    """Whether a program listens where a socket unit would.

    Args:
        listens: ``127.0.0.1:8000``, a line for each.
    """
    for line in listens.splitlines():
        host, _, port = line.rpartition(":")
        try:
            if not is_free(host.strip("[]"), int(port)):
                return True
        except BadSetting:  # an address that is not there yet: the units open their ports on it all the same
            continue
    return False


def _ask(unit: str, name: str) -> str:
    done = subprocess.run(
        ["systemctl", "show", "--value", f"--property={name}", unit], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
