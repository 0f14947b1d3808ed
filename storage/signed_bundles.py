"""A bundle as one file for another box: a gzipped tar of its files and a signature of its manifest."""

from __future__ import annotations

import gzip
import hashlib
import io
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from storage.bundles import MANIFEST, Manifest
from storage.errors import BundleCorrupt, StateUnwritable

SIGNATURE = "signature.json"
MOST_FILES = 64
"""A bundle has ten; a file with more is none of ours."""


class Signature(msgspec.Struct, frozen=True, kw_only=True):
    """Who says that the manifest is theirs; the manifest holds the hash of every other file.

    Attributes:
        key: ``ed25519:`` and the public key in base64.
        signature: Of the manifest's bytes, in base64.
        made_on: The name of the host, for people.
    """

    key: str
    signature: str
    made_on: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedBundle:
    """What a file holds, every file equal to its hash; whether the signature is true is not looked at here."""

    manifest: Manifest
    manifest_bytes: bytes
    files: dict[str, bytes]
    signature: Signature


def write_signed_bundle(path: Path, manifest: bytes, files: Mapping[str, bytes], signature: Signature) -> None:
    """Write a bundle beside its place and rename it there; the same bundle gives the same bytes.

    Raises:
        StateUnwritable: It cannot be written there.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with half.open("wb") as raw:
            with (
                gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed,
                tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
            ):
                for name, content in {MANIFEST: manifest, SIGNATURE: msgspec.json.encode(signature), **files}.items():
                    member = tarfile.TarInfo(name)
                    member.size, member.mode = len(content), 0o644
                    archive.addfile(member, io.BytesIO(content))
            raw.flush()
            os.fsync(raw.fileno())
        half.replace(path)
    except OSError as exc:
        half.unlink(missing_ok=True)
        raise StateUnwritable(f"cannot write {path}: {exc.strerror}") from exc


def read_signed_bundle(path: Path, *, most_bytes: int) -> SignedBundle:
    """Read a file whole, in memory; nothing is unpacked to the disk.

    Args:
        path: The file.
        most_bytes: Of all its files together, unpacked.

    Raises:
        BundleCorrupt: It is no such file, torn, too large, or a file in it differs from its hash.
    """
    contents = _read_members(path, most_bytes)
    try:
        manifest_bytes, signed = contents.pop(MANIFEST), contents.pop(SIGNATURE)
        manifest = msgspec.json.decode(manifest_bytes, type=Manifest)
        signature = msgspec.json.decode(signed, type=Signature)
    except KeyError as exc:
        raise BundleCorrupt(f"{path} is no signed bundle: it has no {exc.args[0]}") from None
    except msgspec.DecodeError as exc:
        raise BundleCorrupt(f"{path} cannot be read: {exc}") from exc
    if contents.keys() != manifest.files.keys():
        odd = ", ".join(sorted(contents.keys() ^ manifest.files.keys()))
        raise BundleCorrupt(f"{path} does not hold the files that its manifest names: {odd}")
    for name, content in contents.items():
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise BundleCorrupt(f"{path}: {name} differs from its manifest; fetch the file again")
    return SignedBundle(manifest=manifest, manifest_bytes=manifest_bytes, files=contents, signature=signature)


def _read_members(path: Path, most_bytes: int) -> dict[str, bytes]:
    contents: dict[str, bytes] = {}
    left = most_bytes
    try:
        with tarfile.open(path, mode="r:gz") as archive:
            for member in archive:
                if not member.isreg() or Path(member.name).name != member.name or member.name in contents:
                    raise BundleCorrupt(f"{path} is no signed bundle: it holds {member.name[:100]!r}")
                left -= member.size
                if left < 0 or len(contents) >= MOST_FILES:
                    raise BundleCorrupt(f"{path} holds more than {most_bytes} bytes or {MOST_FILES} files")
                file = archive.extractfile(member)
                contents[member.name] = file.read() if file is not None else b""
    except (tarfile.TarError, EOFError, OSError, zlib.error) as exc:
        raise BundleCorrupt(f"{path} cannot be read as a signed bundle: {exc}") from exc
    return contents
