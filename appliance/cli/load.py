"""load."""

from __future__ import annotations

import time

from appliance.cli.house import open_house
from appliance.cli.output import Json, print_json, print_table, say, show_time


def load(name: str | None = None, *, json: Json = False) -> None:
    """How loaded the appliance is now: requests in work and waiting, processor, memory, disk, the watch loop.

    Takes two seconds, over which the processor's share is told.

    Args:
        name: A model; what waits for a shadow of it is counted apart.
    """
    from appliance.monitoring.load import SHORTEST_S

    house = open_house()
    if name is not None:
        house.models.get(name)
    before = house.load.look(name)
    if any(one.process.pid is not None for one in before.processes):
        time.sleep(SHORTEST_S)
    found = house.load.look(name)
    if json:
        print_json(found)
        return
    rows = []
    if found.api is None:
        say("the inference API does not run, or sleeps")
    else:
        requests, queue, here = found.api.requests, found.api.queue, found.api.queued_here
        busy = f"{found.api.busy} of {found.api.workers} workers busy"
        rows.append(("requests in work", requests.state, f"{requests.used} of at most {requests.limit}; {busy}"))
        waiting = f"{queue.used} of at most {queue.limit}" + ("" if here is None else f"; {here} for {name}")
        rows.append(("requests waiting for a shadow", queue.state, waiting))
    if found.disk is not None:
        used, limit = found.disk.used / 1e9, found.disk.limit / 1e9
        rows.append(("disk", found.disk.state, f"{found.disk.share:.0%}: {used:.1f} of {limit:.1f} GB"))
    looked = found.lag.heartbeat_at
    last = "has not looked yet" if looked is None else f"last looked {show_time(looked)}"
    rows.append(("watch loop", found.watch, f"{found.lag.bytes_behind:,} bytes of events behind; {last}"))
    print_table(("what", "state", "now"), rows)
    print_table(
        ("process", "state", "of a core", "memory MB", "restarts"),
        [
            (one.process.name, one.process.state, "-" if one.cpu_share is None else f"{one.cpu_share:.0%}",
             one.process.pss_mb, one.process.restarts)
            for one in found.processes
        ],
    )  # fmt: skip
