"""Who signed a bundle that came from another box: this box's own key, and the keys that it trusts."""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import BadInput, Conflict, NotFound
from storage.bundles import replace_durably
from storage.layout import Layout

PREFIX = "ed25519:"
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TrustedKey:
    """A box whose bundles are taken in; ``key`` is ``ed25519:`` and 32 bytes in base64."""

    name: str
    key: str


class Signing:
    """Ed25519 (RFC 8032) with a key pair that this box makes when it first needs one."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    @property
    def key(self) -> str:
        """This box's public key, as other boxes are told to trust it."""
        return _text(self._pair().public_key())

    def sign(self, content: bytes) -> str:
        """The signature of some bytes, in base64."""
        return base64.b64encode(self._pair().sign(content)).decode()

    def trusted(self) -> tuple[TrustedKey, ...]:
        """The boxes whose bundles are taken in, by name."""
        found = sorted(self._layout.trusted.glob("*.pub"))
        return tuple(TrustedKey(name=path.stem, key=path.read_text(encoding="ascii").strip()) for path in found)

    def trust(self, name: str, key: str) -> TrustedKey:
        """Take in what that key signed from now on.

        Args:
            name: What this box calls the other.
            key: As the other box says it.

        Raises:
            BadInput: The name or the key is none.
            Conflict: The name is taken by another key.
        """
        if not _NAME.fullmatch(name):
            raise BadInput(f"{name!r} is no name for a box; use 1 to 63 of a-z, 0-9, '.', '-' and '_'")
        wanted = TrustedKey(name=name, key=_text(_public(key)))
        for known in self.trusted():
            if known.name == name and known.key != wanted.key:
                raise Conflict(f"{name!r} has another key here; take it away first: 'appliance bundle distrust {name}'")
        self._layout.trusted.mkdir(mode=0o750, exist_ok=True)
        replace_durably(self._layout.trusted / f"{name}.pub", f"{wanted.key}\n".encode())
        return wanted

    def distrust(self, name: str) -> TrustedKey:
        """Take nothing in from that box any more; what came before stays.

        Raises:
            NotFound: No key has that name.
        """
        for known in self.trusted():
            if known.name == name:
                (self._layout.trusted / f"{name}.pub").unlink()
                return known
        names = ", ".join(known.name for known in self.trusted()) or "none"
        raise NotFound(f"no box {name!r} is trusted; trusted: {names}")

    def find_signer(self, key: str) -> str | None:
        """What this box calls the owner of a key, ``this box`` for its own; None when it is not trusted.

        Raises:
            BadInput: It is no key.
        """
        wanted = _text(_public(key))
        if self._layout.signing_key.exists() and wanted == self.key:
            return "this box"
        return next((known.name for known in self.trusted() if known.key == wanted), None)

    def _pair(self) -> Ed25519PrivateKey:
        path = self._layout.signing_key
        if not path.exists():
            _make_once(path)
        loaded = serialization.load_pem_private_key(path.read_bytes(), password=None)
        if not isinstance(loaded, Ed25519PrivateKey):
            raise BadInput(f"{path} is no Ed25519 key; restore it from a backup, or remove it for a new one")
        return loaded


def is_signed(content: bytes, signature: str, key: str) -> bool:
    """Whether a key's owner signed these bytes.

    Raises:
        BadInput: It is no key.
    """
    try:
        _public(key).verify(base64.b64decode(signature, validate=True), content)
    except (InvalidSignature, binascii.Error):
        return False
    return True


def fingerprint(key: str) -> str:
    """The first eight bytes of the key's SHA-256, for two people on the telephone."""
    digest = hashlib.sha256(base64.b64decode(key.removeprefix(PREFIX))).hexdigest()
    return ":".join(digest[at : at + 4] for at in range(0, 16, 4))


def _public(key: str) -> Ed25519PublicKey:
    content = key.strip()
    try:
        if not content.startswith(PREFIX):
            raise ValueError
        return Ed25519PublicKey.from_public_bytes(base64.b64decode(content.removeprefix(PREFIX), validate=True))
    except ValueError:
        raise BadInput(
            f"{content[:60]!r} is no key of a box; accepted: what 'appliance bundle key' prints there"
        ) from None


def _text(key: Ed25519PublicKey) -> str:
    return PREFIX + base64.b64encode(key.public_bytes_raw()).decode()


def _make_once(path: Path) -> None:
    """Write a new key; of two processes that do, the first one's stays."""
    content = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    half = path.with_name(f".secret-signing-{os.getpid()}")
    half.unlink(missing_ok=True)
    with open(half, "xb", opener=lambda name, flags: os.open(name, flags, mode=0o600)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    try:
        path.hardlink_to(half)
    except FileExistsError:
        pass
    finally:
        half.unlink()
