"""The dashboard's process with a stop watch on its event loop: ``python -m tests.bench.observed_dashboard FILE``.

Every call that the loop makes is timed; one above ``LONG_S`` is written to FILE as a JSON line: seconds by the clock,
seconds of the processor, those of them in which garbage was collected, and which call. On a busy host the clock counts
the others, too, the processor's does not.
The loop is asyncio's own, since uvloop makes its calls where nothing can time them.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from ui.app import main

LONG_S = 0.05


def observe(file: TextIO) -> None:
    """Time the calls of every loop of this process from now on."""
    collecting = [0.0, 0.0]  # since when, and for how long in this call

    def collect(phase: str, _: dict[str, int]) -> None:
        if phase == "start":
            collecting[0] = time.thread_time()
        else:
            collecting[1] += time.thread_time() - collecting[0]

    gc.callbacks.append(collect)
    run = asyncio.Handle._run

    def timed(handle: Any) -> None:
        collecting[1] = 0.0
        began, began_cpu = time.perf_counter(), time.thread_time()
        run(handle)
        took_s = time.perf_counter() - began
        if took_s > LONG_S:
            entry = {
                "wall_s": took_s, "cpu_s": time.thread_time() - began_cpu, "gc_s": collecting[1],
                "call": repr(handle)[:300],
            }  # fmt: skip
            file.write(json.dumps(entry) + "\n")
            file.flush()

    setattr(asyncio.Handle, "_run", timed)  # noqa: B010  (mypy would take it for a method of this function)


if __name__ == "__main__":
    sys.modules["uvloop"] = None  # type: ignore[assignment]  # uvicorn does without
    with Path(sys.argv[1]).open("w", encoding="utf-8") as log:
        observe(log)
        main()
