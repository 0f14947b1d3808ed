"""The supervisor with real processes: small ones, that speak the same notify protocol as ours."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from appliance.errors import Conflict, NotReady
from appliance.processes.control import down, require_idle, status
from appliance.processes.ledger import Ledger, find_ledger
from appliance.processes.logfiles import Follower, bound_log, log_path, read_tail
from appliance.processes.roster import Service
from appliance.processes.supervisor import Plan
from appliance.settings import Settings
from storage.layout import Layout

STEADY = """
import signal, sys, time
from appliance.processes.notify import notify
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("steady starts", flush=True)
notify("READY=1\\nSTATUS=at work")
while True:
    time.sleep(0.1)
"""
DEAF = STEADY.replace("lambda *_: sys.exit(0)", "signal.SIG_IGN")
FED = STEADY.replace("    time.sleep(0.1)", '    notify("WATCHDOG=1")\n    time.sleep(0.1)')
TELLING = STEADY.replace(
    'print("steady starts"', 'import os; print({n: v for n, v in os.environ.items() if "WATCHDOG" in n}'
)
ALONE = """
import sys
from appliance.processes.control import standing_still
from appliance.settings import Settings
with standing_still(Settings(state=sys.argv[1])):
    print("alone", flush=True)
    sys.stdin.read()
"""
BROKEN = "raise SystemExit(7)"
LONG_S = 120.0


def wait_for(what: Callable[[], bool]) -> None:
    end = time.monotonic() + LONG_S
    while not what():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


class Box:
    """A state directory and a supervisor on it."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(root=folder / "state")
        self.layout.create()
        self._modules = folder / "modules"
        self._modules.mkdir()
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, *, foreground: bool = False, watchdog_s: float = 0.0, **modules: str) -> subprocess.Popen[bytes]:
        for name, text in modules.items():
            (self._modules / f"box_{name}.py").write_text(text)
        services = tuple(Service(name=name, module=f"box_{name}", watchdog_s=watchdog_s) for name in modules)
        plan = Plan(state=str(self.layout.root), services=services, foreground=foreground)
        path = os.pathsep.join([str(self._modules), str(Path(__file__).parents[2])])
        process = subprocess.Popen(
            [sys.executable, "-m", "appliance.processes.supervisor", msgspec.json.encode(plan).decode()],
            env={**os.environ, "PYTHONPATH": path}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self._processes.append(process)
        return process

    def ledger(self) -> Ledger:
        ledger = find_ledger(self.layout)
        assert ledger is not None
        return ledger

    def states(self) -> dict[str, str]:
        ledger = find_ledger(self.layout)
        return {entry.name: entry.state for entry in ledger.processes} if ledger and ledger.is_alive() else {}

    def close(self) -> None:
        for process in self._processes:
            if process.poll() is None:
                process.terminate()
                process.wait(timeout=60)
            if process.stdout:
                process.stdout.close()


@pytest.fixture
def box(tmp_path: Path) -> Iterator[Box]:
    box = Box(tmp_path)
    yield box
    box.close()


def test_processes_start_get_ready_and_stop_in_order(box: Box) -> None:
    supervisor = box.start(api=STEADY, runner=STEADY)
    wait_for(lambda: box.states() == {"api": "running", "runner": "running"})
    entry = box.ledger().processes[0]
    assert entry.is_alive()
    assert entry.detail == "at work"
    supervisor.terminate()
    assert supervisor.wait(timeout=LONG_S) == 0
    assert {each.state for each in box.ledger().processes} == {"stopped"}
    assert not entry.is_alive()
    assert read_tail(log_path(box.layout, "api"), lines=5) == ["steady starts"]


def test_a_killed_process_is_started_again(box: Box) -> None:
    box.start(api=STEADY)
    wait_for(lambda: box.states() == {"api": "running"})
    before = box.ledger().processes[0]
    os.kill(before.pid, signal.SIGKILL)
    wait_for(lambda: box.ledger().processes[0].restarts == 1 and box.states() == {"api": "running"})
    assert box.ledger().processes[0].pid != before.pid


def test_a_process_that_hangs_is_ended_and_started_again(box: Box) -> None:
    box.start(api=FED, watchdog_s=2.0)
    wait_for(lambda: box.states() == {"api": "running"})
    time.sleep(3.0)
    before = box.ledger().processes[0]
    assert (before.state, before.restarts) == ("running", 0), "it is let be while it feeds its watchdog"
    os.kill(before.pid, signal.SIGSTOP)
    wait_for(lambda: "hung: it said nothing for 2 s; ended with signal SIG" in box.ledger().processes[0].detail)
    wait_for(lambda: box.ledger().processes[0].restarts == 1 and box.states() == {"api": "running"})
    assert box.ledger().processes[0].pid != before.pid


def test_a_process_is_told_of_its_watchdog_and_of_no_other(box: Box, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "7")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    box.start(api=TELLING, watchdog_s=30.0)
    wait_for(lambda: box.states() == {"api": "running"})
    assert read_tail(log_path(box.layout, "api"), lines=5) == ["{'WATCHDOG_USEC': '30000000'}"]


def test_a_process_that_keeps_ending_says_how_and_waits(box: Box) -> None:
    box.start(api=BROKEN)
    wait_for(lambda: box.states() == {"api": "restarting"})
    assert box.ledger().processes[0].detail.startswith("ended with exit code 7; starts again in ")


def test_a_deaf_process_is_killed_at_the_second_request(box: Box) -> None:
    supervisor = box.start(api=DEAF)
    wait_for(lambda: box.states() == {"api": "running"})
    entry = box.ledger().processes[0]
    supervisor.terminate()
    wait_for(lambda: box.ledger().processes[0].state == "stopping")
    supervisor.terminate()
    supervisor.wait(timeout=LONG_S)
    assert not entry.is_alive()


def test_nothing_outlives_a_killed_supervisor(box: Box) -> None:
    supervisor = box.start(api=STEADY)
    wait_for(lambda: box.states() == {"api": "running"})
    entry = box.ledger().processes[0]
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not entry.is_alive())
    assert not box.ledger().is_alive(), "the ledger of a dead supervisor counts for nothing"
    box.start(api=STEADY)
    wait_for(lambda: box.states() == {"api": "running"})


def test_a_second_supervisor_is_refused(box: Box) -> None:
    box.start(api=STEADY)
    wait_for(lambda: box.states() == {"api": "running"})
    second = box.start(api=STEADY)
    assert second.wait(timeout=LONG_S) == 1
    assert second.stdout is not None
    assert b"runs already; see 'appliance status'" in second.stdout.read()


def test_a_supervisor_that_no_ledger_names_is_told_with_the_way_to_end_it(box: Box) -> None:
    settings = Settings(state=box.layout.root)
    supervisor = box.start(api=STEADY)
    wait_for(lambda: box.states() == {"api": "running"})
    path = box.layout.run / "supervisor.json"
    written = path.read_bytes()
    path.write_text("{garbled")
    with pytest.raises(NotReady, match=rf"does not name it: process {supervisor.pid} \(.*; end it with 'kill'"):
        down(settings)
    path.write_bytes(written)
    assert down(settings) is True
    assert supervisor.wait(timeout=LONG_S) == 0
    assert down(settings) is False
    (api,) = [one for one in status(settings, weigh=False).services if one.name == "api"]
    assert (api.state, api.detail) == ("stopped", ""), "what it said while it ran holds no more"


def test_a_command_that_keeps_everything_still_is_waited_for_not_killed(box: Box) -> None:
    settings, script = Settings(state=box.layout.root), box.layout.root.parent / "restore.py"
    script.write_text(ALONE)
    with subprocess.Popen(
        [sys.executable, str(script), str(box.layout.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    ) as restoring:  # fmt: skip
        assert restoring.stdout is not None
        assert restoring.stdin is not None
        assert restoring.stdout.readline() == b"alone\n"
        with pytest.raises(NotReady, match=rf"another command .*: process {restoring.pid} \(.*; wait until") as told:
            down(settings)
        for systemd in (False, True):
            with pytest.raises(Conflict, match=rf"another command .*: process {restoring.pid} \(.*; wait until"):
                require_idle(settings.model_copy(update={"systemd": systemd}))
        restoring.stdin.close()
    assert "kill" not in str(told.value)
    assert "supervisor" not in str(told.value)
    assert down(settings) is False
    require_idle(settings)


def test_the_foreground_shows_the_logs(box: Box) -> None:
    supervisor = box.start(api=STEADY, foreground=True)
    wait_for(lambda: box.states() == {"api": "running"})
    supervisor.send_signal(signal.SIGINT)
    out, _ = supervisor.communicate(timeout=LONG_S)
    assert b"api          | steady starts" in out


def test_a_log_is_bounded_and_its_writer_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "api.log"
    with path.open("ab", buffering=0) as writer:
        follower = Follower(path)
        for number in range(3):
            writer.write(f"{number}\n".encode() * 100)
            assert bound_log(path, max_bytes=50, kept=2)
        writer.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["api.log", "api.log.1", "api.log.2"]
    assert (tmp_path / "api.log.1").read_bytes().startswith(b"2\n")
    assert follower.read_lines() == ["after"]
