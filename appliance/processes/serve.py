"""``appliance serve NAME``: become one of the appliance's processes."""

from __future__ import annotations

import os
import sys
from typing import NoReturn

from appliance.processes.roster import get_module


def serve(name: str) -> NoReturn:
    """Replace this process by the named one; its pid, its sockets from systemd and its environment stay.

    Raises:
        NotFound: The appliance has no such process.
    """
    module = get_module(name)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606  (our own program, an argument list)
