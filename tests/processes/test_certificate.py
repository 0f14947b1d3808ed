"""The certificate that a host signs itself: what it names, and when a new one is made."""

from __future__ import annotations

import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ifaddr
import pytest
from cryptography import x509

from appliance.processes.certificate import SPARE_DAYS, VALID_DAYS, does_for, main, make_certificate, names_of_host

NOW = datetime(2030, 1, 1, tzinfo=UTC)
NAMES = ("box", "localhost", "127.0.0.1")


def run(monkeypatch: pytest.MonkeyPatch, *words: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["certificate", *map(str, words)])
    return main()


def named(path: Path) -> list[str]:
    found = x509.load_pem_x509_certificate(path.read_bytes())
    names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in names]


def test_on_one_address_it_names_the_host_and_that_one() -> None:
    assert names_of_host("192.0.2.7") == [socket.gethostname(), "localhost", "127.0.0.1", "192.0.2.7"]
    assert names_of_host("127.0.0.1") == [socket.gethostname(), "localhost", "127.0.0.1"]
    assert names_of_host("2001:db8::7")[-1] == "2001:db8::7"
    assert names_of_host("box.lan")[-1] == "box.lan", "without units a name that resolves may be listened on"


@pytest.mark.parametrize("everywhere", ["0.0.0.0", "::"])  # noqa: S104  (a certificate's, nothing listens)
def test_on_all_interfaces_it_names_each_address_that_others_reach(
    everywhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ips: list[str | tuple[str, int, int]] = ["127.0.0.1", "192.0.2.7"]
    ips += [("::1", 0, 0), ("fe80::1", 0, 2), ("2001:db8::7", 0, 0)]
    adapter = ifaddr.Adapter("eth0", "eth0", [ifaddr.IP(ip, 64, "eth0") for ip in ips])
    monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter])
    assert names_of_host(everywhere)[3:] == ["192.0.2.7", "2001:db8::7"]


@pytest.mark.parametrize(
    ("names", "days", "does"),
    [
        (NAMES, 0, True),
        (NAMES[:2], 0, True),
        ((*NAMES, "192.0.2.7"), 0, False),
        (NAMES, VALID_DAYS - SPARE_DAYS - 1, True),
        (NAMES, VALID_DAYS - SPARE_DAYS + 1, False),
        (NAMES, -2, False),  # the clock was ahead when it was made
    ],
)
def test_it_does_while_it_names_all_and_is_valid_for_a_month_more(
    names: tuple[str, ...], days: int, does: bool
) -> None:
    made, _ = make_certificate(NAMES, now=NOW)
    assert does_for(made, names, now=NOW + timedelta(days=days)) is does


def test_what_is_no_certificate_does_not() -> None:
    assert not does_for(b"nothing", NAMES, now=NOW)


def test_one_is_made_once_and_anew_when_the_address_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, cert = tmp_path / "tls", tmp_path / "tls" / "cert.pem"
    assert run(monkeypatch, folder, "192.0.2.7", "--check") == 1
    assert not folder.exists()
    assert run(monkeypatch, folder, "192.0.2.7") == 0
    first = cert.read_bytes()
    assert (folder / "key.pem").stat().st_mode & 0o777 == 0o600
    assert run(monkeypatch, folder, "192.0.2.7", "--check") == 0
    assert run(monkeypatch, folder, "192.0.2.7") == 0
    assert cert.read_bytes() == first
    assert run(monkeypatch, folder, "192.0.2.8", "--check") == 1
    assert cert.read_bytes() == first
    assert run(monkeypatch, folder, "192.0.2.8") == 0
    assert named(cert)[-1] == "192.0.2.8"
    assert sorted(path.name for path in folder.iterdir()) == ["cert.pem", "key.pem"]


def test_an_address_of_a_day_is_no_reason_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def has(*ips: str | tuple[str, int, int]) -> None:
        adapter = ifaddr.Adapter("eth0", "eth0", [ifaddr.IP(ip, 64, "eth0") for ip in ips])
        monkeypatch.setattr(ifaddr, "get_adapters", lambda: [adapter])

    has("192.0.2.7", ("2001:db8::7", 0, 0))
    assert run(monkeypatch, tmp_path, "0.0.0.0") == 0  # noqa: S104  (a certificate's, nothing listens)
    assert named(tmp_path / "cert.pem")[-2:] == ["192.0.2.7", "2001:db8::7"]
    has("192.0.2.7", ("2001:db8::8", 0, 0))
    assert run(monkeypatch, tmp_path, "0.0.0.0", "--check") == 0  # noqa: S104
    has("192.0.2.8")
    assert run(monkeypatch, tmp_path, "0.0.0.0", "--check") == 1  # noqa: S104
    assert run(monkeypatch, tmp_path, "2001:db8::9", "--check") == 1


def test_what_lies_there_and_is_none_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cert.pem").write_bytes(b"-----BEGIN CERTIFICATE-----\nof somebody\n-----END CERTIFICATE-----\n")
    assert run(monkeypatch, tmp_path, "127.0.0.1", "--check") == 1
    assert run(monkeypatch, tmp_path, "127.0.0.1") == 0
    assert "127.0.0.1" in named(tmp_path / "cert.pem")
