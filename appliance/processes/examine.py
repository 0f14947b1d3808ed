"""``appliance doctor`` for a process that stays light: the checks load libraries, so a child does them.

``python -m appliance.processes.examine`` is that child; it prints what it found as JSON.
"""

from __future__ import annotations

import subprocess
import sys

import msgspec

from appliance.errors import NotReady
from appliance.processes.check import Check

TIMEOUT_S = 120.0


def examine() -> tuple[Check, ...]:
    """What ``run_checks`` finds with the settings of this process's environment; takes seconds.

    Raises:
        NotReady: The child cannot be started, does not end, or ends without an answer.
    """
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "appliance.processes.examine"],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, timeout=TIMEOUT_S, check=True,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout, type=tuple[Check, ...])
    except (OSError, subprocess.SubprocessError, msgspec.DecodeError) as exc:
        raise NotReady(f"the check of the host did not come to an end ({exc}); run 'appliance doctor'") from exc


def main() -> None:
    """Check, and print."""
    from appliance.processes.doctor import run_checks  # noqa: PLC0415  (loads what the other side goes without)
    from appliance.settings import load_settings  # noqa: PLC0415

    sys.stdout.buffer.write(msgspec.json.encode(run_checks(load_settings())))


if __name__ == "__main__":
    main()
