"""Tells whoever started this process how it does: systemd, or the supervisor, by the same datagram."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send one ``sd_notify`` message; each process sends ``READY=1`` once it answers, ``STOPPING=1`` when it ends.

    Args:
        state: Lines such as ``READY=1``, ``WATCHDOG=1``, ``STATUS=free text``.

    Returns:
        Whether somebody was listening; without ``NOTIFY_SOCKET`` nothing happens.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):  # an abstract socket: its name starts with a zero byte
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
            sender.connect(address)
            sender.sendall(state.encode())
    except OSError:
        return False  # whoever asked is gone; that must not stop a process that works
    return True


async def say_ready() -> None:
    """The callback for uvicorn's ``callback_notify``: called once requests are answered, then every 30 s."""
    notify("READY=1")


def watchdog_interval_s() -> float | None:
    """How often to send ``WATCHDOG=1``: half of what the unit's ``WatchdogSec=`` allows; None without a watchdog."""
    period_us = os.environ.get("WATCHDOG_USEC", "")
    return int(period_us) / 2e6 if period_us.isdigit() and int(period_us) > 0 else None
