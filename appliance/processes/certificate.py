"""A certificate for this host, signed by itself: ``python -m appliance.processes.certificate FOLDER LISTEN [--check]``.

With ``--check`` nothing is written, and the exit code is 1 when the one in the folder does not do for the address that
is listened on.
"""

from __future__ import annotations

import argparse
import ipaddress
import socket
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import ifaddr
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

VALID_DAYS = 825
"""The longest that browsers and Apple's systems take."""
EVERYWHERE = {"0.0.0.0", "::"}  # noqa: S104  (what is listened on was chosen elsewhere)
SPARE_DAYS = 30
"""How long before its end one is made anew."""


def make_certificate(names: Sequence[str], *, now: datetime) -> tuple[bytes, bytes]:
    """Certificate and key, PEM, for host names and addresses; the first is its subject."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=VALID_DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    certificate = builder.sign(key, hashes.SHA256())
    secret = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), secret


def read_expiry(path: Path) -> datetime:
    """Until when the first certificate of a PEM file is valid; UTC.

    Raises:
        OSError: It cannot be read.
        ValueError: It holds no certificate.
    """
    return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc


def names_of_host(listen: str) -> list[str]:
    """What this host is called by those who reach it on an address: the host's name first, then addresses.

    On all interfaces that is every address of one, but for those that a neighbour alone can use.
    """
    names = [socket.gethostname(), "localhost", "127.0.0.1"]
    if listen not in EVERYWHERE:
        return list(dict.fromkeys([*names, listen]))
    found = [
        ipaddress.ip_address(ip.ip if isinstance(ip.ip, str) else ip.ip[0])
        for adapter in ifaddr.get_adapters() for ip in adapter.ips
    ]  # fmt: skip
    return list(dict.fromkeys([*names, *(str(ip) for ip in found if not (ip.is_link_local or ip.is_loopback))]))


def does_for(certificate: bytes, names: Sequence[str], *, now: datetime) -> bool:
    """Whether a PEM certificate is one that a host signed itself, names all of these and is valid for a month more."""
    try:
        found = x509.load_pem_x509_certificate(certificate)
        named = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    valid = found.not_valid_before_utc <= now and found.not_valid_after_utc >= now + timedelta(days=SPARE_DAYS)
    return valid and found.issuer == found.subject and set(map(_name, names)) <= set(named)


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def main() -> int:
    """Write ``cert.pem`` and ``key.pem``, unless those that are there do."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("listen", metavar="ADDRESS")
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    folder, now = asked.folder, datetime.now(UTC)
    names, there = names_of_host(asked.listen), folder / "cert.pem"
    # Of IPv6 a host has addresses that last a day: they are named, and no reason for a new certificate.
    lasting = [name for name in names if ":" not in name or name == asked.listen]
    done = there.exists() and does_for(there.read_bytes(), lasting, now=now)
    if done or asked.check:
        return int(not done)
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    certificate, key = make_certificate(names, now=now)
    for name, content, mode in (("key.pem", key, 0o600), ("cert.pem", certificate, 0o644)):
        path = folder / f"{name}.new"
        path.unlink(missing_ok=True)
        path.touch(mode=mode)
        path.write_bytes(content)
        path.replace(folder / name)
    return 0


if __name__ == "__main__":
    sys.exit(main())
