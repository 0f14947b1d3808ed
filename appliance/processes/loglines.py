"""How every process of ours says what it has to say: one form, on standard error.

Where that is the journal, each line begins with its priority, ``<3>`` for an error, which journald takes off and keeps
(``sd-daemon(3)``); ``journalctl -p err`` then finds errors, with every line of their tracebacks. In a log file there is
no such prefix. The standard library alone, since small processes import it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
import traceback
from collections.abc import Collection
from types import TracebackType

FORM = "%(levelname)s %(name)s: %(message)s"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_CHATTY = ("httpx", "alembic", "huey", "sqlalchemy.engine")
"""They tell of every request and every table."""


def is_journal() -> bool:
    """Whether standard error goes to the journal; ``JOURNAL_STREAM`` is inherited by those whose does not."""
    try:
        facts = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def start_log(*, level: int = logging.INFO, quiet: Collection[str] = ()) -> None:
    """Write what is logged to standard error; to be called once, first in ``main``, before a library sets up its own.

    Where that is the journal, an exception that nobody catches is an error there, too.

    Args:
        level: Of whoever has none of its own.
        quiet: Loggers of libraries that shall tell of warnings and worse alone, besides those that always do.
    """
    handler = logging.StreamHandler()
    handler.setFormatter(_JournalLines(FORM) if is_journal() else logging.Formatter(FORM))
    logging.basicConfig(level=level, handlers=[handler])
    for name in (*_CHATTY, *quiet):
        logging.getLogger(name).setLevel(logging.WARNING)
    if is_journal():
        # Read when MLflow is imported: what it logs comes here as well, by itself.
        os.environ.setdefault("MLFLOW_CONFIGURE_LOGGING", "false")
        sys.excepthook = _tell_uncaught
        threading.excepthook = _tell_uncaught_in_thread


def adopt_loggers() -> None:
    """Where standard error is the journal, let libraries that set up handlers of their own for it use ours instead.

    To be called once they are imported. Handlers that go elsewhere, as Prefect's for its API, stay.
    """
    if not is_journal():
        return
    for logger in list(logging.root.manager.loggerDict.values()):
        if not isinstance(logger, logging.Logger):
            continue
        for handler in list(logger.handlers):
            if isinstance(handler, logging.StreamHandler) and not isinstance(handler, logging.FileHandler):
                logger.removeHandler(handler)
                logger.propagate = True


def report(sentence: str, *, level: int = logging.ERROR) -> None:
    """Write a sentence to standard error, as it is for a terminal or a file, with its level for the journal."""
    text = _with_priority(sentence, level) if is_journal() else sentence
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


class _JournalLines(logging.Formatter):
    """Each line is an entry of its own there, so that each has the priority."""

    def format(self, record: logging.LogRecord) -> str:
        return _with_priority(super().format(record), record.levelno)


def _with_priority(text: str, level: int) -> str:
    priority = next((number for least, number in _PRIORITIES if level >= least), _DEBUG)
    return "\n".join(f"<{priority}>{line}" for line in text.splitlines() or [""])


def _tell_uncaught(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    level = logging.INFO if issubclass(kind, KeyboardInterrupt) else logging.ERROR
    report("".join(traceback.format_exception(kind, exc, trace)).rstrip(), level=level)


def _tell_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        _tell_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
