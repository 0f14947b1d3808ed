"""The process that works on datasets' rows for another: ``python -m appliance.apart_child``.

It hears settings and then orders on its standard input, and replies on its standard output. It ends with whoever
started it, since its input ends then; also half way through an order, which leaves nothing half done.
"""

from __future__ import annotations

import logging
import os
import queue
import resource
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, NoReturn, cast

import msgspec

from appliance.errors import ApplianceError
from appliance.processes.loglines import start_log
from appliance.processes.priority import go_first, step_back
from appliance.settings import Settings
from storage.errors import StorageError

if TYPE_CHECKING:  # what loads libraries is imported once those that nobody needs are out of the way
    from appliance.apart_frames import Reply
    from appliance.orders import Order
    from appliance.table_work import TableWork

UNUSED = ("pandas", "sklearn", "matplotlib")
"""PyArrow loads pandas where it finds it: 1.7 s and 100 MB."""
NICENESS = 5
"""The dashboard goes on answering beside it."""
WORN_MB = 300
"""Resident; one that grew this far gives its memory back by ending."""

_LOG = logging.getLogger("appliance.apart")


class _Absent:
    """Makes the unused libraries look as if they were not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:  # noqa: ARG002  (Python's signature)
        if name in UNUSED:
            raise ModuleNotFoundError(f"{name} is not used for tables", name=name)


def serve(orders: IO[bytes], replies: IO[bytes]) -> None:
    """Do what is ordered until nobody orders any more."""
    sys.meta_path.insert(0, _Absent())
    from appliance.apart_frames import decode, encode, read_frame, write_frame  # noqa: PLC0415
    from appliance.orders import Order  # noqa: PLC0415
    from appliance.table_work import TableWork  # noqa: PLC0415

    coming: queue.SimpleQueue[bytes] = queue.SimpleQueue()

    def hear() -> None:
        while True:
            try:
                coming.put(read_frame(orders))
            except EOFError:
                os._exit(0)  # whoever asked is gone; nobody waits for what is being done

    threading.Thread(target=hear, daemon=True).start()
    step_back(NICENESS)
    work = TableWork(Settings.model_validate(msgspec.json.decode(coming.get())))
    while True:
        reply = _reply(work, decode(coming.get(), cast("type[Order]", Order)), encode)
        write_frame(replies, encode(reply))
        if reply.worn:
            return


def _reply(work: TableWork, order: Order, encode: Callable[[object], bytes]) -> Reply:
    from appliance.apart_frames import Reply  # noqa: PLC0415

    try:
        answer = encode(work.do(order))
    except (ApplianceError, StorageError) as exc:
        return Reply(kind=type(exc).__name__, message=str(exc), worn=_is_worn())
    except Exception as exc:  # noqa: BLE001  (the border: it goes back as an error)
        _LOG.exception("%s failed", type(order).__name__)
        return Reply(kind=type(exc).__name__, message=str(exc), worn=_is_worn())
    return Reply(answer=answer, worn=_is_worn())


def _is_worn() -> bool:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * resource.getpagesize() > WORN_MB * 1_000_000


def _end(_number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + signal.SIGTERM)  # what is being done tidies up behind itself


def main() -> None:
    """Serve on the standard streams; whatever a library prints goes to the log."""
    start_log()
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for whoever started this one
    go_first()
    replies = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, replies)


if __name__ == "__main__":
    main()
