"""What ends a program from outside: Ctrl-C, a terminal that goes away, a stop; heard once, or not at all."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)


def hear_interruptions() -> None:
    """From here on the first of ``SIGNALS`` is a ``KeyboardInterrupt`` that names it, and no later one is heard.

    What the caller has ignored (``nohup``) stays so.
    """
    for one in SIGNALS:
        if signal.getsignal(one) is not signal.SIG_IGN:
            signal.signal(one, _interrupt)


def _interrupt(number: int, _: FrameType | None) -> None:
    # A terminal that goes away says so twice: the kernel and the shell do. Not SIG_IGN, which a process that is started
    # from here on would inherit for good.
    for one in SIGNALS:
        if signal.getsignal(one) is _interrupt:
            signal.signal(one, _pass_over)
    raise KeyboardInterrupt(f"interrupted by {signal.Signals(number).name}")


def _pass_over(_: int, __: FrameType | None) -> None:
    """It was heard already."""


@contextmanager
def uninterrupted() -> Iterator[None]:
    """``SIGNALS`` are lost until this is over, also on the commands that are run meanwhile."""
    before = [(one, signal.signal(one, signal.SIG_IGN)) for one in SIGNALS]
    try:
        yield
    finally:
        for one, handler in before:
            signal.signal(one, handler)
