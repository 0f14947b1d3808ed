"""Model bundles: published whole by one rename, checked against their manifest whenever they are opened."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import msgspec

from storage.errors import BundleCorrupt, BundleNotFound, StateUnwritable
from storage.layout import Layout

MANIFEST = "manifest.json"


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a bundle holds and where it came from.

    Attributes:
        files: File name to sha256, in hex; every file but the manifest itself.
        created_at: ISO 8601, UTC.
    """

    model: str
    version: int
    task: str
    created_at: str
    run_id: str
    dataset: str
    dataset_version: int
    code_version: str
    files: dict[str, str]
    format: int = 1


def bundle_path(layout: Layout, model: str, version: int) -> Path:
    """Where the bundle of that version lies, published or not."""
    return layout.models / model / str(version)


def publish_bundle(layout: Layout, manifest: Manifest, files: Mapping[str, bytes]) -> Path:
    """Write a bundle beside its place, flush it, and rename it there; readers see all of it or none.

    Args:
        layout: The state.
        manifest: Its ``files`` is ignored and computed.
        files: File name to content.

    Raises:
        StateUnwritable: The disk is full or read-only, or the version is published already.
    """
    target = bundle_path(layout, manifest.model, manifest.version)
    half = layout.tmp / f"bundle-{manifest.model}-{manifest.version}-{os.getpid()}"
    shutil.rmtree(half, ignore_errors=True)
    hashes = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    complete = msgspec.structs.replace(manifest, files=hashes)
    try:
        half.mkdir(mode=0o750, parents=True)
        for name, content in {**files, MANIFEST: msgspec.json.format(msgspec.json.encode(complete))}.items():
            write_durably(half / name, content)
        _sync_directory(half)
        target.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        half.rename(target)
        _sync_directory(target.parent)
    except OSError as exc:
        shutil.rmtree(half, ignore_errors=True)
        raise StateUnwritable(f"cannot publish the bundle {target}: {exc.strerror}") from exc
    return target


def read_bundle(layout: Layout, model: str, version: int) -> tuple[Manifest, dict[str, bytes]]:
    """Every file of a bundle, each equal to its hash.

    Raises:
        BundleNotFound: No such version is published.
        BundleCorrupt: A file is missing, extra bytes were written, or the manifest cannot be read.
    """
    directory = bundle_path(layout, model, version)
    if not (directory / MANIFEST).is_file():
        raise BundleNotFound(f"model {model!r} has no published version {version} (looked in {directory})")
    try:
        manifest = msgspec.json.decode((directory / MANIFEST).read_bytes(), type=Manifest)
        if stranger := next((name for name in manifest.files if Path(name).name != name), None):
            raise BundleCorrupt(f"the manifest of {directory} names {stranger!r}, which is no plain file name")
        files = {name: (directory / name).read_bytes() for name in manifest.files}
    except (OSError, msgspec.DecodeError) as exc:
        raise BundleCorrupt(f"the bundle {directory} cannot be read: {exc}; restore it from a backup") from exc
    for name, content in files.items():
        if hashlib.sha256(content).hexdigest() != manifest.files[name]:
            raise BundleCorrupt(f"{directory / name} differs from its manifest; restore it from a backup")
    return manifest, files


def list_bundles(layout: Layout, model: str) -> list[int]:
    """The published versions of a model, ascending; what else lies beside them (a copy ``1.bak``) is passed over."""
    directory = layout.models / model
    try:
        beside = list(directory.glob("[1-9]*"))
    except OSError as exc:
        if exc.errno == errno.ENAMETOOLONG:  # nobody's name: whoever asked made it up
            return []
        raise
    return sorted(
        int(path.name) for path in beside if path.name.isascii() and path.name.isdigit() and (path / MANIFEST).is_file()
    )


def replace_durably(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Replace a file by rename: readers see the old or the new content, also after a power cut.

    Raises:
        StateUnwritable: The disk is full or read-only; the old content stays.
    """
    half = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        write_durably(half, content, mode=mode)
        half.replace(path)
        _sync_directory(path.parent)
    except OSError as exc:
        half.unlink(missing_ok=True)
        raise StateUnwritable(f"cannot write {path}: {exc.strerror}") from exc


def write_durably(path: Path, content: bytes, *, mode: int = 0o640) -> None:
    """Write a file and wait until the disk has it."""
    with open(path, "wb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
