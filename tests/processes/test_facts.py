"""What the kernel is asked, and what is said to whoever started a process."""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from appliance.errors import BadSetting, Conflict
from appliance.processes.notify import notify, watchdog_interval_s
from appliance.processes.ports import require_free_ports
from appliance.processes.procfs import find_pss_mb, find_start, is_running, list_tree, started_at
from appliance.processes.roster import Service, roster
from appliance.settings import Settings


def service(name: str, port: int, host: str = "127.0.0.1") -> Service:
    return Service(name=name, module="none", host=host, port=port, setting=f"{name}_port")


def test_a_pid_counts_only_with_its_start() -> None:
    started = find_start(os.getpid())
    assert started is not None
    assert is_running(os.getpid(), started)
    assert not is_running(os.getpid(), started + 1)
    begun = started_at(os.getpid())
    assert begun is not None
    assert begun.timestamp() <= time.time()


def test_a_zombie_is_not_running() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    started = find_start(process.pid) or 0
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not is_running(process.pid, started)
    process.wait()


def test_memory_counts_the_whole_tree() -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'input()'])"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE) as parent:
        while len(list_tree(parent.pid)) < 2:
            time.sleep(0.01)
        child = list_tree(parent.pid)[1]
        both, one = find_pss_mb(parent.pid), find_pss_mb(child)
        assert both is not None
        assert one is not None
        assert both > one > 0
        parent.communicate(b"\n")


def test_memory_of_nobody_is_none() -> None:
    assert find_pss_mb(2**22 - 1) is None


def test_every_taken_port_is_named_with_its_holder_and_its_setting() -> None:
    with socket.create_server(("127.0.0.1", 0)) as first, socket.create_server(("127.0.0.1", 0)) as second:
        ports = first.getsockname()[1], second.getsockname()[1]
        with pytest.raises(Conflict) as caught:
            require_free_ports([service("api", ports[0]), service("ui", ports[1])])
    for name, port in zip(("api", "ui"), ports, strict=True):
        assert f"port {port} on 127.0.0.1 is taken by " in str(caught.value)
        assert f"(pid {os.getpid()})" in str(caught.value)
        assert f"--{name}-port (APPLIANCE_{name.upper()}_PORT)" in str(caught.value)


def test_equal_ports_and_foreign_addresses_are_settings_at_fault() -> None:
    with pytest.raises(BadSetting, match="api_port and ui_port are both 4711"):
        require_free_ports([service("api", 4711), service("ui", 4711)])
    with pytest.raises(BadSetting, match=r"192\.0\.2\.1 is not an address of this host"):
        require_free_ports([service("api", 4711, "192.0.2.1")])


def test_notify_reaches_an_abstract_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"appliance-test-{secrets.token_hex(8)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", "@" + name)
        assert notify("READY=1\nSTATUS=at work")
        assert listener.recv(100) == b"READY=1\nSTATUS=at work"
    assert not notify("READY=1"), "nobody listens any more, and that is no error"
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not notify("READY=1")


@pytest.mark.parametrize(("text", "interval_s"), [("150000000", 75.0), ("0", None), ("", None), ("soon", None)])
def test_the_watchdog_is_fed_twice_as_often_as_it_must(
    monkeypatch: pytest.MonkeyPatch, text: str, interval_s: float | None
) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", text)
    assert watchdog_interval_s() == interval_s


def test_every_port_of_a_process_is_looked_at_and_0_is_none() -> None:
    pair = {"tls_cert": Path("cert.pem"), "tls_key": Path("key.pem")}
    chosen = Settings(**pair, ui_mlflow_port=9081, ui_prefect_port=0)  # type: ignore[arg-type]
    found = {one.name: dict(one.ports) for one in roster(chosen)}
    assert found["ui"] == {"ui_port": 8080, "ui_mlflow_port": 9081}
    assert found["tls"] == {"tls_api_port": 8443, "tls_ui_port": 8444, "tls_ui_mlflow_port": 8445}
    assert found["runner"] == {}
    with pytest.raises(BadSetting, match="ui_port and ui_mlflow_port are both 8081"):
        require_free_ports(roster(Settings(ui_port=8081, ui_mlflow_port=8081)))
    assert dict(roster(Settings(ui_port=8081))[1].ports) == {"ui_port": 8081}, "what nobody chose stands in no way"
