"""``appliance``: the verbs and where each lives; nothing heavy is imported before a verb needs it.

Exit codes: 0 done; 1 it cannot be done as asked (usage, bad input, no such thing, not allowed); 3 a part that it needs
does not run; 4 a job was started and failed, or a version could not be reproduced; 130 interrupted.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from inspect import getdoc
from pathlib import Path

from cyclopts import App, CycloptsError, UnusedCliTokensError

from appliance import __version__
from appliance.cli.root import act_as_owner, find_state
from appliance.errors import ApplianceError, NotReady
from appliance.processes.loglines import is_journal, report, start_log
from appliance.processes.serve import serve
from storage.errors import StorageError

_GLOBAL = {"--state": "APPLIANCE_STATE", "--config": "APPLIANCE_CONFIG"}

_EPILOGUE = """\
Every verb that reads takes --json, but for 'logs', which are lines. Every verb takes --state DIR \
(or APPLIANCE_STATE) and --config FILE (or APPLIANCE_CONFIG).

Exit codes: 0 done, 1 cannot be done as asked, 3 a part that is needed does not run, 4 a job failed.
"""

_HOST = {
    errno.ENOSPC: "no space is left there; free some",
    errno.EDQUOT: "this user's quota is used up; free some",
    errno.EROFS: "its file system is read-only; see 'dmesg' for why, then mount it writable again",
}
"""What a command says where the host lets nobody write; by the error's number."""

_DATABASE = {
    sqlite3.SQLITE_CORRUPT: "a database is damaged",
    sqlite3.SQLITE_NOTADB: "a database is damaged",
    sqlite3.SQLITE_READONLY: "a database cannot be written",
    sqlite3.SQLITE_FULL: "a database cannot be written",
    sqlite3.SQLITE_IOERR: "a database cannot be read or written",
    sqlite3.SQLITE_CANTOPEN: "a database cannot be opened",
}

VERBS: tuple[tuple[str, str, str, str], ...] = (
    ("up", "processes:up", "Processes", "Start everything and keep it running; --detach in the background."),
    ("down", "processes:down", "Processes", "Stop everything in order."),
    ("status", "processes:status", "Processes", "How each process stands; exit code 3 when one does not run."),
    ("load", "load:load", "Processes", "Requests in work and waiting, processor, memory, disk, watch loop: now."),
    ("doctor", "processes:doctor", "Processes", "Look for what is wrong, and say what to do; exit code 3 when found."),
    ("logs", "processes:logs", "Processes", "The last lines of the processes' logs."),
    ("serve", "processes:serve", "Processes", "Become one process: api, ui, orchestrator, runner, mlflow or tls."),
    ("migrate", "processes:migrate", "Processes", "Create the state, or bring it to this release's schema."),
    ("backup", "backups:app", "Processes", "Backups of everything: create, list, verify, restore."),
    ("retention", "backups:retention", "Processes", "Let go what is kept no longer; --dry-run shows it first."),
    ("demo", "demo:demo", "Processes", "The bike-sharing demo, end to end, on the running appliance."),
    ("data", "data:app", "Models", "Datasets: add, list, show, versions, diff."),
    ("model", "models:app", "Models", "Declare a model without writing a file: model create."),
    ("apply", "models:apply", "Models", "Declare a model, or change it, from MODEL.toml."),
    ("train", "jobs:train", "Models", "Train a model; --wait shows how far it is, and its metrics."),
    ("retrain", "jobs:retrain", "Models", "Collect what was labelled since, then train on all of it."),
    ("models", "models:list_models", "Models", "Every model and what of it serves."),
    ("versions", "models:versions", "Models", "A model's versions."),
    ("card", "models:card", "Models", "What a version is: data, decisions, metrics, importance."),
    ("reproduce", "models:reproduce", "Models", "Train a version again from its record; exit code 4 if it differs."),
    ("deploy", "models:deploy", "Models", "Let a version serve, to all, to a share, or in the shadow."),
    ("promote", "models:promote", "Models", "Make the canary or the shadow the champion."),
    ("rollback", "models:rollback", "Models", "End the canary; else the version before serves again."),
    ("bundle", "bundles:app", "Models", "A version as one signed file for another box: export, import, trust."),
    ("predict", "jobs:predict", "Models", "Score a file."),
    ("jobs", "jobs:app", "Models", "Jobs: list, log, cancel."),
    ("drift", "monitoring:drift", "Monitoring", "How far a model's traffic moved from its training."),
    ("data-quality", "monitoring:data_quality", "Monitoring", "What was odd about the rows: missing, unseen, refused."),
    ("skew", "monitoring:skew", "Monitoring", "Whether what serves answers as training did, by deployment."),
    ("quality", "monitoring:quality", "Monitoring", "How right the predictions were."),
    ("latency", "monitoring:latency", "Monitoring", "How long answers took."),
    ("report", "report:report", "Monitoring", "Everything about a model and a span: one HTML page, or JSON."),
    ("export", "report:export", "Monitoring", "A model's predictions, inputs and labels as a Parquet file."),
    ("alerts", "alerts:app", "Monitoring", "What changed for the worse; seen, snooze, and the channels it goes to."),
    ("drift-compare", "monitoring:drift_compare", "Monitoring", "Hold one file against another, without any model."),
    ("label", "labels:label", "Monitoring", "Send labels by prediction id, from a file."),
    ("label-history", "labels:label_history", "Monitoring", "What was said of a prediction, and when; by its id."),
    ("key", "access:key", "Access", "API keys: create, list, revoke."),
    ("user", "access:user", "Access", "Users: add, passwd, list."),
    ("audit", "access:audit", "Access", "Who did what; 'audit verify' checks the chain."),
)
"""Name, function, group and one line of help of every verb."""


def build_app(*, whole: str = "") -> App:
    """The command line; the modules behind the verbs are imported when a verb runs.

    Args:
        whole: A verb whose own words are in its help, too, for which its module is imported now.
    """
    app = App(
        name="appliance", version=__version__, help_epilogue=_EPILOGUE, help_format="plaintext",
        help="Data, training, registry, inference API, monitoring and retraining on this host.",
        error_formatter=lambda error: f"appliance: {_say_usage(error)}",
        suppress_keyboard_interrupt=False, exit_on_error=False,
        result_action="return_int_as_exit_code_else_zero",
    )  # fmt: skip
    for name, target, group, text in VERBS:
        said = _in_full(text, target) if name == whole else text
        app.command(f"appliance.cli.{target}", name=name, help=said, group=group)
    return app


def _in_full(text: str, target: str) -> str:
    own = _own_words(target)
    return own if own.startswith(text.rstrip(".")) else f"{text}\n\n{own}".rstrip()


def _own_words(target: str) -> str:
    """What the function behind a verb says of it, without its parameters; of a group of verbs nothing."""
    module, _, name = target.partition(":")
    said = getattr(import_module(f"appliance.cli.{module}"), name)
    return "" if isinstance(said, App) else (getdoc(said) or "").partition("\n\nArgs:")[0]


def _say_usage(error: CycloptsError) -> str:
    if isinstance(error, UnusedCliTokensError):
        verb = " ".join(["appliance", *(error.command_chain or ())])
        return f"{verb} takes no {' '.join(error.unused_tokens or ())!r}; see '{verb} --help'"
    return str(error)


def run(arguments: Sequence[str]) -> int:
    """Run one verb; returns the exit code and never raises for what a caller did wrong."""
    try:
        code = _run(_take_global(arguments))
        sys.stdout.flush()
    except CycloptsError:
        code = 1  # its message is printed already
    except (ApplianceError, StorageError) as exc:
        code = _complain(exc, 3 if isinstance(exc, NotReady) else 1)
    except BrokenPipeError:
        _write_nowhere()  # the reader closed: nothing to say, nowhere
        code = 0
    except KeyboardInterrupt:
        code = 130
    except sqlite3.Error as exc:
        code = _complain(_say_database(exc), 1)
    except PermissionError as exc:
        code = _complain(ApplianceError(f"{_denied(exc)}; run the command as somebody who may, or name another"), 1)
    except OSError as exc:
        if exc.errno == errno.ENOSPC:
            _write_nowhere()
        code = _complain(_say_host(exc), 1)
    except Exception as exc:  # noqa: BLE001  (the border: a caller gets a sentence, the traceback goes to a file)
        code = _complain(_Unexpected(exc), 1)
    return code


def main() -> None:
    """The entry point of the ``appliance`` command."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the caller closed it: what opens a file next would get its number
            setattr(sys, name, Path(os.devnull).open("w"))  # noqa: SIM115  (as long as the process)
    if is_journal():  # a unit runs it, such as the nightly backup's
        start_log()
    sys.exit(run(sys.argv[1:]))


def _run(words: list[str]) -> int:
    act_as_owner(words)
    if words[:1] == ["serve"] and len(words) == 2 and not words[1].startswith("-"):
        serve(words[1])  # as a unit starts it: nothing else is imported
    asked = not {"--help", "-h"}.isdisjoint(words)
    return int(build_app(whole=words[0] if asked else "")(words))


def _take_global(arguments: Sequence[str]) -> list[str]:
    """Move the options that every verb takes into the environment, where every process looks."""
    rest: list[str] = []
    pending = list(arguments)
    while pending:
        word = pending.pop(0)
        name, equals, value = word.partition("=")
        if word == "--":
            return [*rest, word, *pending]
        if name not in _GLOBAL:
            rest.append(word)
            continue
        if not equals:
            if not pending:
                raise ApplianceError(f"{name} needs a value")
            value = pending.pop(0)
        os.environ[_GLOBAL[name]] = os.path.abspath(value)  # noqa: PTH100  (Path.absolute keeps '..')
    return rest


class _Unexpected(Exception):
    """An error of ours, told in a sentence; its traceback is in a file."""

    def __init__(self, cause: Exception) -> None:
        path = find_state()[0] / "logs" / "cli.log"
        try:
            with path.open("a") as file:
                traceback.print_exception(cause, file=file)
            where = f"the details are in {path}"
        except OSError:
            where = f"and {path} cannot be written to say more"
        super().__init__(f"unexpected {type(cause).__name__}: {cause}; {where}; this is a fault of the program")


def _say_database(error: sqlite3.Error) -> Exception:
    """What to do about a database that is damaged, or that the host does not let one use; else it is our fault."""
    what = _DATABASE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    return (
        _Unexpected(error)
        if what is None
        else ApplianceError(f"{what}: {error}; 'appliance doctor' says which, and what to do")
    )


def _say_host(error: OSError) -> Exception:
    """What to do about a host that does not let one write; anything else is our fault."""
    what = _HOST.get(error.errno or 0)
    return _Unexpected(error) if what is None else ApplianceError(f"cannot write{_where(error)}: {what}")


def _where(error: OSError) -> str:
    return f" {error.filename}" if error.filename else ", to standard output maybe"


def _denied(error: PermissionError) -> str:
    return f"{error.filename or 'something'} may not be used by this user ({error.strerror})"


def _write_nowhere() -> None:
    """What waits to be written to standard output would fail again when the process ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(error: Exception, code: int) -> int:
    with suppress(OSError):
        sys.stdout.flush()
    report(f"appliance: {error}")
    return code


if __name__ == "__main__":
    main()
