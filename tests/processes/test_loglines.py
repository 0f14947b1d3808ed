"""What reaches the journal is one entry with its fields; a file gets the same words as lines."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from appliance.processes.journal import Journal
from appliance.processes.logfiles import log_path
from storage.layout import Layout

ROOT = Path(__file__).parents[2]
OURS = ("appliance", "flows", "storage", "ui")

SAYS = """
import logging, threading
from appliance.processes.loglines import adopt_loggers, start_log, report
start_log(about={"job": "17"})
log = logging.getLogger("appliance.test")
log.debug("not told")
log.info("began")
log.warning("two\\nlines", extra={"model": "bikes", "dataset": None})
log.warning("large " + 400_000 * "x")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed", extra={"request": "r1"})
report("test: cannot start")
thread = threading.Thread(target=lambda: {}["missing"])
thread.start()
thread.join()
raise SystemError("the end")
"""
LIBRARIES = """
import logging, os
from appliance.processes.loglines import adopt_loggers, start_log
start_log(level=logging.WARNING)
import prefect, mlflow, uvicorn
uvicorn.Config(None)
adopt_loggers()
for name in ("prefect.server.api", "prefect._internal", "mlflow.store", "alembic.runtime", "uvicorn.error", "fastapi"):
    logging.getLogger(name).error("said by %s", name)
"""
LAUNCH = """
import runpy, sys
from pathlib import Path
from appliance.processes.loglines import start_log
_, journal, kind, what, *rest = sys.argv
start_log.__kwdefaults__["journal"] = Path(journal)
sys.argv = [what, *rest]
if kind == "-c":
    exec(what, {"__name__": "__main__"})
else:
    runpy.run_module(what, run_name="__main__", alter_sys=True)
"""
Entry = dict[str, str]


def run(command: list[str], *, socket_path: Path, journal: bool | str = True, **settings: str) -> list[str]:
    """The lines of a program's standard error, which is told to be the journal or is not.

    Args:
        command: ``-c CODE`` or ``-m MODULE …``.
    """
    reader, writer = os.pipe()
    facts = os.fstat(writer)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("APPLIANCE_", "MLFLOW_", "PREFECT_"))
    }
    environment = clean | {"PYTHONPATH": str(ROOT)} | settings
    environment["JOURNAL_STREAM"] = f"{facts.st_dev}:{facts.st_ino}" if journal is True else str(journal)
    words = [sys.executable, "-P", "-c", LAUNCH, str(socket_path), *command]
    with subprocess.Popen(words, stderr=writer, stdout=subprocess.DEVNULL, env=environment):
        os.close(writer)
        with os.fdopen(reader) as said:
            return said.read().splitlines()


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A journal: its socket, and what was written there."""

    path: Path
    socket: socket.socket

    def entries(self, command: list[str], **settings: str) -> list[Entry]:
        """What a program writes; what it writes to standard error beside it must be nothing."""
        found: list[Entry] = []
        reading = threading.Thread(target=self._read, args=(found,))
        reading.start()
        try:
            lines = run(command, socket_path=self.path, **settings)
        finally:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as last:
                last.sendto(b"", str(self.path))
            reading.join()
        assert lines == []
        return found

    def _read(self, found: list[Entry]) -> None:
        while True:
            data, fds, _, _ = socket.recv_fds(self.socket, 1 << 20, 1)
            for fd in fds:
                with os.fdopen(fd, "rb") as file:
                    file.seek(0)  # the writer's place in it came along
                    data = file.read()
            if not data:
                return
            found.append(read_entry(data))


def read_entry(data: bytes) -> Entry:
    """As journald reads it: NAME=VALUE, or NAME and eight bytes of length and the value."""
    fields = {}
    while data:
        name, end, rest = re.match(rb"([A-Z_]+)([=\n])(.*)", data, re.DOTALL).groups()  # type: ignore[union-attr]
        if end == b"=":
            value, _, data = rest.partition(b"\n")
        else:
            size = int.from_bytes(rest[:8], "little")
            value, data = rest[8 : 8 + size], rest[9 + size :]
            assert rest[8 + size : 9 + size] == b"\n"
        fields[name.decode()] = value.decode()
    return fields


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as opened:
        opened.bind(str(path))
        yield Reader(path=path, socket=opened)


def test_what_is_told_is_one_entry_of_the_journal_with_its_fields(reader: Reader) -> None:
    entries = {entry["MESSAGE"].splitlines()[0][:20]: entry for entry in reader.entries(["-c", SAYS])}
    assert {entry["SYSLOG_IDENTIFIER"] for entry in entries.values()} == {"appliance"}
    assert {entry["APPLIANCE_JOB"] for entry in entries.values()} == {"17"}
    began = entries["began"]
    assert (began["PRIORITY"], began["LOGGER"], began["CODE_FUNC"]) == ("6", "appliance.test", "<module>")
    two = entries["two"]
    assert (two["MESSAGE"], two["PRIORITY"], two["APPLIANCE_MODEL"]) == ("two\nlines", "4", "bikes")
    assert "APPLIANCE_DATASET" not in two
    assert len(entries["large xxxxxxxxxxxxxx"]["MESSAGE"]) == 400_006
    assert entries["test: cannot start"]["PRIORITY"] == "3"
    failed = entries["it failed"]
    assert (failed["PRIORITY"], failed["APPLIANCE_REQUEST"]) == ("3", "r1")
    assert failed["MESSAGE"].splitlines()[1] == "Traceback (most recent call last):"
    assert failed["MESSAGE"].endswith("ZeroDivisionError: division by zero")
    uncaught = [entry for name, entry in entries.items() if name.startswith("Traceback")]
    assert [(one["PRIORITY"], one["MESSAGE"].splitlines()[-1]) for one in uncaught] == [("3", "SystemError: the end")]
    assert not any("not told" in name for name in entries)


def test_an_error_that_nobody_catches_in_a_thread_is_one_entry(reader: Reader) -> None:
    told = [entry["MESSAGE"] for entry in reader.entries(["-c", SAYS])]
    (missing,) = [one for one in told if one.endswith("KeyError: 'missing'")]
    assert missing.startswith("Traceback (most recent call last)")


def test_where_the_journal_takes_no_entry_each_line_has_its_priority(tmp_path: Path) -> None:
    lines = run(["-c", SAYS], socket_path=tmp_path / "nobody")
    assert "<6>began" in lines
    assert lines[lines.index("<4>two") + 1] == "<4>lines"
    assert "<3>test: cannot start" in lines
    begun = lines.index("<3>it failed")
    assert lines[begun + 1] == "<3>Traceback (most recent call last):"
    assert {"<3>ZeroDivisionError: division by zero", "<3>KeyError: 'missing'", "<3>SystemError: the end"} <= set(lines)
    assert [line for line in lines if not re.match("<[3-6]>", line)] == []
    assert not any("not told" in line for line in lines)


@pytest.mark.parametrize("journal", [False, "1:2"])
def test_a_file_has_no_priorities_whoever_started_the_process(reader: Reader, journal: bool | str) -> None:
    """``JOURNAL_STREAM`` is inherited also by those whose output goes elsewhere."""
    lines = run(["-c", SAYS], socket_path=reader.path, journal=journal)
    assert "INFO appliance.test: began" in lines
    assert "test: cannot start" in lines
    assert [line for line in lines if line.startswith("<")] == []


def test_a_process_ends_once_its_last_words_were_read(reader: Reader) -> None:
    """The journal asks the kernel of which unit their writer is, which nobody knows of a process that is gone."""
    journal = Journal(reader.path)
    journal.write({"MESSAGE": "last words"})
    journal.settle(timeout_s=0.05)  # nobody reads
    settled = threading.Thread(target=journal.settle, kwargs={"timeout_s": 60.0})
    settled.start()
    assert settled.is_alive()
    assert reader.socket.recv(1000) == b"MESSAGE=last words\n"
    settled.join(timeout=30.0)
    assert not settled.is_alive()
    journal.close()


def test_what_libraries_log_in_our_processes_is_an_entry_too(reader: Reader, tmp_path: Path) -> None:
    entries = reader.entries(["-c", LIBRARIES], PREFECT_HOME=str(tmp_path), HOME=str(tmp_path))
    told = {(entry.get("LOGGER"), entry["PRIORITY"], entry["MESSAGE"]) for entry in entries}
    for name in (
        "prefect.server.api",
        "prefect._internal",
        "mlflow.store",
        "alembic.runtime",
        "uvicorn.error",
        "fastapi",
    ):
        assert (name, "3", f"said by {name}") in told, entries


def test_the_orchestrator_says_as_an_error_that_its_port_is_taken(reader: Reader, tmp_path: Path) -> None:
    """By uvicorn, in a process of Prefect's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        entries = reader.entries(
            ["-m", "flows.orchestrator"], APPLIANCE_STATE=str(tmp_path / "state"),
            APPLIANCE_ORCHESTRATOR_PORT=port, HOME=str(tmp_path),
        )  # fmt: skip
    (told,) = [entry for entry in entries if "address already in use" in entry["MESSAGE"]]
    assert (told["PRIORITY"], told["LOGGER"]) == ("3", "uvicorn.error")
    assert told["MESSAGE"].startswith("[Errno 98]")


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("appliance.api.inference.process", "appliance api: "),
        ("ui.app", "dashboard: "),
        ("appliance.processes.tls_door", "tls: tls_cert and tls_key are not set"),
    ],
)
def test_why_a_process_cannot_start_is_an_error(reader: Reader, tmp_path: Path, module: str, why: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        entries = reader.entries(
            ["-m", module], APPLIANCE_STATE=str(tmp_path / "state"), APPLIANCE_API_PORT=port, APPLIANCE_UI_PORT=port
        )
    assert [one["PRIORITY"] for one in entries if one["MESSAGE"].startswith(why)] == ["3"], entries


def test_a_verb_that_a_unit_runs_ends_with_an_error(reader: Reader, tmp_path: Path) -> None:
    """As the nightly backup's does."""
    (tmp_path / "file").touch()
    entries = reader.entries(
        ["-m", "appliance.cli.main", "backup", "nightly"], APPLIANCE_STATE=str(tmp_path / "file")
    )  # fmt: skip
    assert [one["PRIORITY"] for one in entries if one["MESSAGE"].startswith("appliance: ")] == ["3"], entries


def test_the_log_is_set_up_in_one_place() -> None:
    found = [
        str(path.relative_to(ROOT))
        for folder in OURS
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"basicConfig|dictConfig|fileConfig", path.read_text(encoding="utf-8"))
    ]
    assert found == ["appliance/processes/loglines.py"]


JOURNALCTL = '#!/bin/sh\nprintf "%s\\n" "$*"\n'


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["backup", "--priority", "err"], "--no-pager --unit=appliance-backup --lines=50 --priority=err"),
        (["recover"], "--no-pager --unit=appliance-recover --lines=50"),
        (["--priority", "warning", "--follow"], "--no-pager --unit=appliance-* --lines=50 --priority=warning --follow"),
        (["--since", "2h"], "--no-pager --unit=appliance-* --lines=all --since=-2h"),
        (["--since", "yesterday", "--lines", "9"], "--no-pager --unit=appliance-* --lines=9 --since=yesterday"),
        (
            ["--job", "17", "--model", "bikes", "--dataset", "d", "--request", "r"],
            "--no-pager --unit=appliance-* --lines=50 "
            "APPLIANCE_MODEL=bikes APPLIANCE_DATASET=d APPLIANCE_JOB=17 APPLIANCE_REQUEST=r",
        ),
    ],
)
def test_with_units_the_journal_is_asked(tmp_path: Path, words: list[str], asked: str) -> None:
    (tmp_path / "journalctl").write_text(JOURNALCTL)
    (tmp_path / "journalctl").chmod(0o755)
    settings = {"APPLIANCE_SYSTEMD": "true", "APPLIANCE_STATE": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "appliance.cli.main", "logs", *words], capture_output=True, text=True, check=False,
        env={**os.environ, **settings, "PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"{asked}\n"), done.stderr


WRITTEN = """INFO appliance.runner: job 17 (train bikes) starts
03:00:01.123 | INFO    | Flow run 'train trees' - read: 9 rows
ERROR appliance.api: request r1 on model 'bikes' failed
Traceback (most recent call last):
  File "x.py", line 1, in f
ValueError: no
INFO appliance.runner: job 18 (train trees) starts
"""


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        (["--model", "bikes"], [0, 2, 3, 4, 5]),
        (["--model", "bikes", "--request", "r1"], [2, 3, 4, 5]),
        (["--job", "18"], [6]),
        (["--model", "trees", "--lines", "1"], [6]),
        (["--dataset", "none"], []),
    ],
)
def test_in_files_the_lines_that_name_it_are_found_with_their_tracebacks(
    tmp_path: Path, words: list[str], numbers: list[int]
) -> None:
    path = log_path(Layout(root=tmp_path / "state"), "runner")
    path.parent.mkdir(parents=True)
    path.write_text(WRITTEN)
    settings = {"APPLIANCE_STATE": str(tmp_path / "state"), "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "appliance.cli.main", "logs", "runner", *words], capture_output=True, text=True,
        check=False, env=os.environ | settings,
    )  # fmt: skip
    lines = WRITTEN.splitlines()
    assert done.stdout.splitlines() == [f"runner       | {lines[number]}" for number in numbers], done.stderr
