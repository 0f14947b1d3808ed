"""TLS before the API, the dashboard and the UIs behind it: holds their ports, passes the bytes on to loopback.

Apart from them, so that neither needs to know: what they answer is the same, and their own ports stay on loopback. A
certificate that was replaced is taken up within a minute, without a connection lost; a key that systemd hands over
stays as it was until the unit is started again. The standard library alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import socket
import ssl
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import BadSetting
from appliance.processes.loglines import report, start_log
from appliance.processes.notify import notify
from appliance.processes.pulse import feed_while_turning
from appliance.settings import Settings, load_settings

LOOK_S = 60.0
_CHUNK = 64 << 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A certificate with its chain, and its key; PEM."""

    certificate: Path
    key: Path

    def changed_at(self) -> tuple[float, float]:
        """When each was written last; zero for one that is gone for a moment."""
        times = []
        for path in (self.certificate, self.key):
            try:
                times.append(path.stat().st_mtime)
            except OSError:
                times.append(0.0)
        return times[0], times[1]

    def load(self, context: ssl.SSLContext) -> None:
        """Let a context use it from now on.

        Raises:
            BadSetting: One cannot be read, or they do not belong together.
        """
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as exc:
            reason = getattr(exc, "reason", None) or exc
            raise BadSetting(f"tls_cert {self.certificate} and tls_key {self.key} cannot be used: {reason}") from exc


class TlsDoor:
    """The ports, each in front of one of our own on loopback."""

    def __init__(self, pair: Pair, address: str, ports: Mapping[int, int]) -> None:
        """Load the certificate.

        Args:
            pair: The certificate and its key.
            address: To listen on.
            ports: Outer port to inner.

        Raises:
            BadSetting: The certificate cannot be used.
        """
        self._pair, self._address, self._ports = pair, address, ports
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.minimum_version = ssl.TLSVersion.TLSv1_2
        self._loaded = pair.changed_at()
        pair.load(self._context)

    async def serve(self, *, look_s: float = LOOK_S) -> None:
        """Serve until SIGTERM.

        Raises:
            BadSetting: A port cannot be had.
        """
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        servers = [await self._open(outer, inner) for outer, inner in self._ports.items()]
        notify("READY=1")
        pulse = asyncio.create_task(feed_while_turning())
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), timeout=look_s)
            self._renew()
        notify("STOPPING=1")
        pulse.cancel()
        for server in servers:
            server.close()

    def _renew(self) -> None:
        found = self._pair.changed_at()
        if found in {self._loaded, (0.0, 0.0)}:
            return
        try:
            self._pair.load(self._context)
            self._loaded = found
        except BadSetting as exc:
            report(f"tls: {exc}; the one before goes on")

    async def _open(self, outer: int, inner: int) -> asyncio.Server:
        async def admit(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            try:
                inner_reader, inner_writer = await asyncio.open_connection(
                    "127.0.0.1", inner, local_addr=(stand_in(writer.get_extra_info("peername")[0]), 0)
                )
                _send_at_once(inner_writer)
                _send_at_once(writer)
                try:
                    async with asyncio.TaskGroup() as directions:
                        directions.create_task(_copy(reader, inner_writer))
                        directions.create_task(_copy(inner_reader, writer))
                finally:
                    inner_writer.close()
            except* (OSError, ssl.SSLError):
                pass  # either side is gone; the other sees its connection end
            finally:
                writer.close()

        try:
            return await asyncio.start_server(admit, self._address, outer, ssl=self._context, backlog=2048)
        except OSError as exc:
            raise BadSetting(f"cannot listen on {self._address}:{outer}: {exc.strerror}") from exc


def stand_in(peer: str) -> str:
    """The address of loopback that stands for a caller's, always the same one.

    Behind the door all callers would have one address: the wrong passwords of one would lock out everybody, and what a
    header says of who called would be believed, since it comes from this host. All of 127.0.0.0/8 is loopback's.
    """
    digest = hashlib.blake2b(peer.encode(), digest_size=3).digest()
    return f"127.{1 + digest[0] % 254}.{digest[1]}.{1 + digest[2] % 254}"


def _send_at_once(writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(_CHUNK):
        writer.write(data)
        await writer.drain()
    with contextlib.suppress(OSError, NotImplementedError):
        if writer.can_write_eof():
            writer.write_eof()
        else:
            writer.close()


def make_door(settings: Settings) -> TlsDoor:
    """The door of these settings.

    Raises:
        BadSetting: There is no certificate, or it cannot be used.
    """
    if settings.tls_cert is None or settings.tls_key is None:
        raise BadSetting("tls_cert and tls_key are not set; './install.sh --tls self' makes both")
    pair = Pair(certificate=settings.tls_cert, key=settings.tls_key)
    return TlsDoor(pair, settings.tls_listen, dict(settings.tls_ports.values()))


def main() -> int:
    """Serve until SIGTERM; a sentence when it cannot."""
    start_log()
    try:
        asyncio.run(make_door(load_settings()).serve())
    except BadSetting as exc:
        report(f"tls: {exc}")
        return os.EX_CONFIG
    return 0


if __name__ == "__main__":
    sys.exit(main())
