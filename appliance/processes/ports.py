"""Whether the ports that the appliance wants are free, and who has them when they are not."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from pathlib import Path

from appliance.errors import BadSetting, Conflict
from appliance.processes.roster import Service


def require_free_ports(services: Iterable[Service]) -> None:
    """Refuse to start onto a taken port, naming every one and the setting that moves it.

    Raises:
        Conflict: At least one port is taken.
        BadSetting: Two services want the same port, or an address is not this host's.
    """
    seen: dict[int, str] = {}
    problems = []
    for host, setting, port in ((service.host, *one) for service in services for one in service.ports):
        if (other := seen.setdefault(port, setting)) != setting:
            raise BadSetting(f"{other} and {setting} are both {port}; give each its own port")
        if not is_free(host, port):
            problems.append(
                f"port {port} on {host} is taken{describe_holder(port)}; end that, or choose another "
                f"with --{setting.replace('_', '-')} (APPLIANCE_{setting.upper()})"
            )
    if problems:
        raise Conflict("; ".join(problems))


def is_free(host: str, port: int) -> bool:
    """Whether this port can be listened on now.

    Raises:
        BadSetting: The address is not one of this host's.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
            probe.listen(1)
    except socket.gaierror as exc:
        raise BadSetting(f"listen: {host!r} is no address ({exc.strerror}); use 127.0.0.1 or 0.0.0.0") from exc
    except OSError as exc:
        if exc.errno == 99:  # EADDRNOTAVAIL
            raise BadSetting(f"listen: {host} is not an address of this host; use 127.0.0.1 or 0.0.0.0") from exc
        return False
    return True


def describe_holder(port: int) -> str:
    """`` by NAME (pid N)`` when this user may know it, else nothing."""
    inodes = _listening_inodes(port)
    for process in Path("/proc").iterdir():
        if not process.name.isdigit():
            continue
        try:
            for fd in (process / "fd").iterdir():
                if str(fd.readlink()) in inodes:
                    name = (process / "comm").read_text().strip()
                    return f" by {name} (pid {process.name})"
        except OSError:
            continue
    return ""


def _listening_inodes(port: int) -> set[str]:
    inodes = set()
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        try:
            rows = table.read_text().splitlines()[1:]
        except OSError:
            continue
        for fields in (row.split() for row in rows):
            if fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port:  # 0A is LISTEN
                inodes.add(f"socket:[{fields[9]}]")
    return inodes
