"""TLS in front of a real API: the same answers, only to who trusts the certificate, and a new one without an end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from appliance.errors import BadSetting
from appliance.processes.certificate import VALID_DAYS, make_certificate, read_expiry
from appliance.processes.doctor_state import check_certificate
from appliance.processes.tls_door import make_door, stand_in
from appliance.schema import Task
from appliance.settings import Settings
from storage.layout import Layout
from tests.install.place import free_ports
from tests.model_bundles import deploy, numeric_columns, prepare_state, publish, sample_rows, train_model
from tests.served_api import ServedApi, serve_api

COLUMNS = numeric_columns(3)


def write_pair(folder: Path, *names: str, now: datetime | None = None) -> tuple[Path, Path]:
    certificate, key = make_certificate(names or ("localhost", "127.0.0.1"), now=now or datetime.now(UTC))
    paths = folder / "cert.pem", folder / "key.pem"
    for path, content in zip(paths, (certificate, key), strict=True):
        path.write_bytes(content)
    return paths


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    made = prepare_state(tmp_path_factory.mktemp("tls") / "state")
    publish(made, train_model("m", 1, task=Task.REGRESSION, columns=COLUMNS))
    deploy(made, {"m": 1})
    return made


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def door(api: ServedApi, certificate: Path, key: Path) -> Iterator[str]:
    """The door as a process of its own; its URL."""
    outer, other = free_ports(2)
    process = subprocess.Popen(
        [sys.executable, "-m", "appliance.processes.tls_door"],
        env={
            **os.environ, "APPLIANCE_STATE": str(api.layout.root), "APPLIANCE_API_PORT": str(api.port),
            "APPLIANCE_TLS_CERT": str(certificate), "APPLIANCE_TLS_KEY": str(key), "APPLIANCE_TLS_LISTEN": "127.0.0.1",
            "APPLIANCE_TLS_API_PORT": str(outer), "APPLIANCE_TLS_UI_PORT": str(other),
        },
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 120
        while not is_open(outer):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.05)
        yield f"https://localhost:{outer}"
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_answers_are_the_same_and_only_for_who_trusts_it(layout: Layout, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    body = {"rows": sample_rows(COLUMNS, 2000)}
    with serve_api(layout) as api, door(api, certificate, key) as url:
        api.wait_until_serving("m", 1)
        plain = api.client.post("/models/m/predict", json=body).json()["predictions"]
        trust = ssl.create_default_context(cafile=certificate)
        with httpx.Client(base_url=url, verify=trust, headers={"x-api-key": api.key}, timeout=30) as client:
            for _ in range(20):  # on one kept connection
                sealed = client.post("/models/m/predict", json=body).json()["predictions"]
                assert [one["value"] for one in sealed] == [one["value"] for one in plain]
            assert client.get("/models/nothing").status_code == 404
        with pytest.raises(httpx.ConnectError, match="certificate verify failed"):
            httpx.get(f"{url}/health/live")
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http") + "/health/live")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(f"{url}/health/live", verify=old).status_code == 200
        api.stop()
        with httpx.Client(base_url=url, verify=trust, timeout=10) as client, pytest.raises(httpx.TransportError):
            client.get("/health/live")


def served_certificate(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=5) as plain:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        with context.wrap_socket(plain) as sealed:
            found = sealed.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_a_new_certificate_is_taken_up_and_a_bad_one_is_not(layout: Layout, tmp_path: Path) -> None:
    certificate, key = write_pair(tmp_path)
    port, other = free_ports(2)
    settings = Settings(
        state=layout.root, tls_cert=certificate, tls_key=key, tls_listen="127.0.0.1", tls_api_port=port,
        tls_ui_port=other,
    )  # fmt: skip

    async def look() -> None:
        serving = asyncio.create_task(make_door(settings).serve(look_s=0.05))
        await opened(port)
        first = await asyncio.to_thread(served_certificate, port)
        write_pair(tmp_path)
        async with asyncio.timeout(120):
            while (second := await asyncio.to_thread(served_certificate, port)) == first:
                await asyncio.sleep(0.05)
        certificate.write_text("no certificate")
        await asyncio.sleep(0.5)
        assert await asyncio.to_thread(served_certificate, port) == second, "it goes on"
        os.kill(os.getpid(), signal.SIGTERM)
        await serving

    asyncio.run(look())


async def opened(port: int) -> None:
    """Until somebody listens there."""
    async with asyncio.timeout(120):
        while not await asyncio.to_thread(is_open, port):
            await asyncio.sleep(0.05)


def test_each_caller_has_an_address_of_its_own_behind_the_door(layout: Layout, tmp_path: Path) -> None:
    """So that one who guesses passwords locks out nobody else, and no header of a caller's is taken for a proxy's."""
    certificate, key = write_pair(tmp_path)
    outer, other, inner = free_ports(3)
    settings = Settings(
        state=layout.root, tls_cert=certificate, tls_key=key, tls_listen="127.0.0.1", tls_api_port=outer,
        tls_ui_port=other, api_port=inner,
    )  # fmt: skip
    seen: list[str] = []

    async def note(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(writer.get_extra_info("peername")[0])
        writer.close()

    async def call() -> None:
        async with await asyncio.start_server(note, "127.0.0.1", inner):
            serving = asyncio.create_task(make_door(settings).serve())
            await opened(outer)
            trust = ssl.create_default_context(cafile=certificate)
            for caller in ("127.0.0.2", "127.0.0.3", "127.0.0.2"):
                reader, writer = await asyncio.open_connection(
                    "127.0.0.1", outer, local_addr=(caller, 0), ssl=trust, server_hostname="localhost"
                )
                assert await reader.read() == b""
                writer.close()
            os.kill(os.getpid(), signal.SIGTERM)
            await serving

    asyncio.run(call())
    assert len(set(seen)) == 2
    assert seen[0] == seen[2]
    assert "127.0.0.1" not in {*seen, stand_in("fe80::1"), stand_in("10.0.0.1")}


@pytest.mark.parametrize("spoil", ["missing", "another key", "no certificate", "unset"])
def test_a_pair_that_cannot_be_used_is_said_at_once(layout: Layout, tmp_path: Path, spoil: str) -> None:
    certificate, key = write_pair(tmp_path)
    if spoil == "missing":
        key.unlink()
    elif spoil == "another key":
        key.write_bytes(make_certificate(["localhost"], now=datetime.now(UTC))[1])
    elif spoil == "no certificate":
        certificate.write_text("no certificate")
    chosen = {} if spoil == "unset" else {"tls_cert": certificate, "tls_key": key}
    with pytest.raises(BadSetting, match="tls_cert"):
        make_door(Settings(state=layout.root, **chosen))  # type: ignore[arg-type]


def test_a_certificate_names_the_host_and_lasts_as_long_as_browsers_take(tmp_path: Path) -> None:
    now = datetime(2030, 1, 1, tzinfo=UTC)
    certificate, _ = write_pair(tmp_path, "box.example", "192.0.2.7", now=now)
    assert read_expiry(certificate) == now + timedelta(days=VALID_DAYS)
    text = subprocess.run(
        ["openssl", "x509", "-in", certificate, "-noout", "-ext", "subjectAltName"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "DNS:box.example" in text
    assert "IP Address:192.0.2.7" in text


@pytest.mark.parametrize(("days_left", "state"), [(31, "ok"), (29, "warn"), (-1, "fail")])
def test_doctor_says_when_it_expires(layout: Layout, tmp_path: Path, days_left: int, state: str) -> None:
    now = datetime.now(UTC)
    certificate, key = write_pair(tmp_path, now=now - timedelta(days=VALID_DAYS - days_left))
    settings = Settings(state=layout.root, tls_cert=certificate, tls_key=key)
    (check,) = check_certificate(settings, now)
    assert (check.state, "--tls" in check.fix) == (state, state != "ok")
    certificate.unlink()
    (check,) = check_certificate(settings, now)
    assert check.state == "fail"
    assert check_certificate(Settings(state=layout.root), now) == []
