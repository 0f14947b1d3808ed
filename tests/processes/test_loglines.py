"""What reaches the journal has its priority, line by line; a file gets the same words without."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OURS = ("appliance", "flows", "storage", "ui")

SAYS = """
import logging, threading
from appliance.processes.loglines import adopt_loggers, start_log, report
start_log()
log = logging.getLogger("appliance.test")
log.debug("not told")
log.info("began")
log.warning("two\\nlines")
try:
    1 / 0
except ZeroDivisionError:
    log.exception("it failed")
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


def run(command: list[str], *, journal: bool | str, **settings: str) -> list[str]:
    """The lines of a program's standard error, which is told to be the journal or is not."""
    reader, writer = os.pipe()
    facts = os.fstat(writer)
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("APPLIANCE_", "MLFLOW_", "PREFECT_"))
    }
    environment = clean | {"PYTHONPATH": str(ROOT)} | settings
    environment["JOURNAL_STREAM"] = f"{facts.st_dev}:{facts.st_ino}" if journal is True else str(journal)
    with subprocess.Popen([sys.executable, *command], stderr=writer, stdout=subprocess.DEVNULL, env=environment):
        os.close(writer)
        with os.fdopen(reader) as said:
            return said.read().splitlines()


def test_every_line_has_its_priority_in_the_journal_and_none_in_a_file() -> None:
    lines = run(["-c", SAYS], journal=True)
    assert "<6>INFO appliance.test: began" in lines
    assert lines[lines.index("<4>WARNING appliance.test: two") + 1] == "<4>lines"
    assert "<3>test: cannot start" in lines
    begun = lines.index("<3>ERROR appliance.test: it failed")
    assert lines[begun + 1] == "<3>Traceback (most recent call last):"
    assert {"<3>ZeroDivisionError: division by zero", "<3>KeyError: 'missing'", "<3>SystemError: the end"} <= set(lines)
    assert [line for line in lines if not re.match("<[3-6]>", line)] == []
    assert not any("not told" in line for line in lines)


@pytest.mark.parametrize("journal", [False, "1:2"])
def test_a_file_has_no_priorities_whoever_started_the_process(journal: bool | str) -> None:
    """``JOURNAL_STREAM`` is inherited also by those whose output goes elsewhere."""
    lines = run(["-c", SAYS], journal=journal)
    assert "INFO appliance.test: began" in lines
    assert "test: cannot start" in lines
    assert [line for line in lines if line.startswith("<")] == []


def test_what_libraries_log_in_our_processes_has_its_priority_too(tmp_path: Path) -> None:
    lines = run(["-c", LIBRARIES], journal=True, PREFECT_HOME=str(tmp_path), HOME=str(tmp_path))
    for name in (
        "prefect.server.api",
        "prefect._internal",
        "mlflow.store",
        "alembic.runtime",
        "uvicorn.error",
        "fastapi",
    ):
        assert f"<3>ERROR {name}: said by {name}" in lines, lines


def test_the_orchestrator_says_as_an_error_that_its_port_is_taken(tmp_path: Path) -> None:
    """By uvicorn, in a process of Prefect's."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        lines = run(
            ["-P", "-m", "flows.orchestrator"], journal=True, APPLIANCE_STATE=str(tmp_path / "state"),
            APPLIANCE_ORCHESTRATOR_PORT=port, HOME=str(tmp_path),
        )  # fmt: skip
    assert any(re.match(r"<3>ERROR uvicorn.error: \[Errno 98\].*address already in use", line) for line in lines), lines
    assert [line for line in lines if not re.match("<[3-6]>", line)] == []


@pytest.mark.parametrize(
    ("module", "why"),
    [
        ("appliance.api.inference.process", "appliance api: "),
        ("ui.app", "dashboard: "),
        ("appliance.processes.tls_door", "tls: tls_cert and tls_key are not set"),
    ],
)
def test_why_a_process_cannot_start_is_an_error(tmp_path: Path, module: str, why: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        lines = run(
            ["-P", "-m", module], journal=True, APPLIANCE_STATE=str(tmp_path / "state"),
            APPLIANCE_API_PORT=port, APPLIANCE_UI_PORT=port,
        )  # fmt: skip
    assert any(line.startswith(f"<3>{why}") for line in lines), lines


def test_a_verb_that_a_unit_runs_ends_with_an_error(tmp_path: Path) -> None:
    """As the nightly backup's does."""
    (tmp_path / "file").touch()
    lines = run(
        ["-P", "-m", "appliance.cli.main", "backup", "nightly"], journal=True, APPLIANCE_STATE=str(tmp_path / "file")
    )  # fmt: skip
    assert any(line.startswith("<3>appliance: ") for line in lines), lines


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
