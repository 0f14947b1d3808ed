"""A certificate for this host, signed by itself: ``python -m appliance.processes.certificate FOLDER NAME…``."""

from __future__ import annotations

import ipaddress
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

VALID_DAYS = 825
"""The longest that browsers and Apple's systems take."""


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


def _name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def main() -> int:
    """Write ``cert.pem`` and ``key.pem``; what is there is left alone."""
    folder, names = Path(sys.argv[1]), list(dict.fromkeys(sys.argv[2:]))
    if (folder / "cert.pem").exists():
        return 0
    folder.mkdir(mode=0o750, parents=True, exist_ok=True)
    certificate, key = make_certificate(names, now=datetime.now(UTC))
    for name, content, mode in (("key.pem", key, 0o640), ("cert.pem", certificate, 0o644)):
        path = folder / name
        path.touch(mode=mode)
        path.write_bytes(content)
    return 0


if __name__ == "__main__":
    sys.exit(main())
