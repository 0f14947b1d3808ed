"""``appliance serve NAME``: become one of the appliance's processes."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, NoReturn

from appliance.processes.control import settings_environment
from appliance.processes.roster import get_module

if TYPE_CHECKING:
    from appliance.settings import Settings


def serve(name: str, settings: Settings) -> NoReturn:
    """Replace this process by the named one; its pid, its sockets from systemd and its environment stay.

    Raises:
        NotFound: The appliance has no such process.
    """
    module = get_module(name)
    os.environ.update(settings_environment(settings))
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(sys.executable, [sys.executable, "-P", "-m", module])  # noqa: S606  (our own program, an argument list)
