"""How every process of ours says what it has to say: one form, on standard error, or an entry of the journal.

Where standard error is the journal, what is told goes there as one entry, with its traceback and with fields that say
what it is about (``SUBJECTS``). Where the journal's socket takes none it goes to standard error all the same: there
each line begins with its priority, ``<3>`` for an error, which journald takes off and keeps (``sd-daemon(3)``). In a
log file there is neither. The standard library alone, since small processes import it.
"""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
import traceback
from collections.abc import Collection, Mapping
from pathlib import Path
from types import TracebackType

from appliance.processes.journal import SOCKET, Journal

FORM = "%(levelname)s %(name)s: %(message)s"
_PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
_DEBUG = 7
_CHATTY = ("httpx", "alembic", "huey", "sqlalchemy.engine")
"""They tell of every request and every table."""

SUBJECTS = ("model", "dataset", "job", "request")
"""What a sentence may be about: a log call names it by ``extra={"model": name}``, and the journal's entry has the field
``APPLIANCE_MODEL``."""


def is_journal() -> bool:
    """Whether standard error goes to the journal; ``JOURNAL_STREAM`` is inherited by those whose does not."""
    try:
        facts = os.fstat(2)
    except OSError:
        return False
    return os.environ.get("JOURNAL_STREAM") == f"{facts.st_dev}:{facts.st_ino}"


def start_log(
    *,
    level: int = logging.INFO,
    quiet: Collection[str] = (),
    about: Mapping[str, str] | None = None,
    journal: Path = SOCKET,
) -> None:
    """Write what is logged to standard error; to be called once, first in ``main``, before a library sets up its own.

    Where that is the journal, its entries are written, and an exception that nobody catches is an error there, too.

    Args:
        level: Of whoever has none of its own.
        quiet: Loggers of libraries that shall tell of warnings and worse alone, besides those that always do.
        about: What the whole process is about, by ``SUBJECTS``.
        journal: The journal's socket.
    """
    handler = JournalHandler(Journal(journal), about or {}) if is_journal() else logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(message)s" if is_journal() else FORM))
    logging.basicConfig(level=level, handlers=[handler])
    # So does logging by itself, unless a library has configured it meanwhile.
    atexit.register(handler.flush)
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
    handler = next((one for one in logging.root.handlers if isinstance(one, JournalHandler)), None)
    if handler is not None:
        handler.write(sentence, level)
        return
    _write_lines(_with_priority(sentence, level) if is_journal() else sentence)


class JournalHandler(logging.Handler):
    """One entry of the journal for each record; Prefect ousts a handler whose name begins with an underscore."""

    def __init__(self, journal: Journal, about: Mapping[str, str]) -> None:
        super().__init__()
        self._journal = journal
        self._about = {subject_field(name): value for name, value in about.items()}

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record, with its traceback."""
        try:
            named = {subject_field(name): getattr(record, name, None) for name in SUBJECTS}
            self.write(
                self.format(record), record.levelno, LOGGER=record.name, CODE_FILE=record.pathname,
                CODE_LINE=str(record.lineno), CODE_FUNC=record.funcName or "",
                **{name: str(value) for name, value in named.items() if value},
            )  # fmt: skip
        except Exception:  # noqa: BLE001  (as every handler does: whoever logs must not fail for it)
            self.handleError(record)

    def write(self, text: str, level: int, **fields: str) -> None:
        """Write an entry; where the journal takes none, lines with their priority to standard error."""
        entry = {"MESSAGE": text, "PRIORITY": str(_priority(level)), "SYSLOG_IDENTIFIER": "appliance"}
        try:
            self._journal.write(entry | self._about | fields)
        except OSError:
            _write_lines(_with_priority(text, level))

    def flush(self) -> None:
        """Wait until the journal has read it all."""
        self._journal.settle()


def subject_field(name: str) -> str:
    """The journal's field for one of ``SUBJECTS``."""
    return f"APPLIANCE_{name.upper()}"


def _priority(level: int) -> int:
    return next((number for least, number in _PRIORITIES if level >= least), _DEBUG)


def _with_priority(text: str, level: int) -> str:
    """Each line is an entry of its own there, so that each has the priority."""
    return "\n".join(f"<{_priority(level)}>{line}" for line in text.splitlines() or [""])


def _write_lines(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _tell_uncaught(kind: type[BaseException], exc: BaseException, trace: TracebackType | None) -> None:
    level = logging.INFO if issubclass(kind, KeyboardInterrupt) else logging.ERROR
    report("".join(traceback.format_exception(kind, exc, trace)).rstrip(), level=level)


def _tell_uncaught_in_thread(args: threading.ExceptHookArgs) -> None:
    if args.exc_value is not None and not issubclass(args.exc_type, SystemExit):
        _tell_uncaught(args.exc_type, args.exc_value, args.exc_traceback)
