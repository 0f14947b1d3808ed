"""One backup as one file: a tar stream, compressed (zstd), perhaps sealed, whose last member says what the others are.

A file that was cut off has no last member; a changed one does not agree with it. So a backup is whole, or refused.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path, PurePosixPath
from typing import BinaryIO, cast

import msgspec
import pyarrow as pa
from pyarrow import ArrowException

from storage.errors import BackupDamaged, PassphraseWrong
from storage.sealing import MAGIC, OpeningReader, SealingWriter, is_sealed

MANIFEST = "backup.json"
_COPY_BYTES = 1 << 20


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One file of the state: its path below it, size and sha256 in hex."""

    name: str
    size: int
    sha256: str


class BackupManifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a backup holds and where it came from.

    Attributes:
        created_at: When the databases were read; ISO 8601, UTC.
        release: The program that wrote it.
        schema: Of the state database.
        root: The state directory that it was taken of.
        host: That host's name.
    """

    created_at: str
    release: str
    schema: int
    root: str
    host: str
    members: list[Member]
    format: int = 1


class ArchiveWriter:
    """Adds files to a backup that is being written."""

    def __init__(self, tar: tarfile.TarFile) -> None:
        self._tar = tar
        self.members: list[Member] = []

    def add(self, name: str, path: Path) -> bool:
        """Add one file, as long as it is now; False when it is gone.

        Raises:
            OSError: It cannot be read, or became shorter while it was.
        """
        try:
            file = path.open("rb")
        except FileNotFoundError:
            return False
        with file:
            facts = os.fstat(file.fileno())
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = facts.st_size, facts.st_mode & 0o777, int(facts.st_mtime)
            hashing = _HashingReader(file)
            self._tar.addfile(info, cast("BinaryIO", hashing))
        self.members.append(Member(name=name, size=facts.st_size, sha256=hashing.hexdigest()))
        return True

    def finish(self, manifest: BackupManifest) -> None:
        """Write what makes the backup whole."""
        content = msgspec.json.encode(msgspec.structs.replace(manifest, members=self.members))
        info = tarfile.TarInfo(MANIFEST)
        info.size, info.mode = len(content), 0o600
        self._tar.addfile(info, io.BytesIO(content))


@contextmanager
def write_archive(file: BinaryIO, passphrase: str | None) -> Iterator[ArchiveWriter]:
    """A writer into ``file``, which stays open."""
    with ExitStack() as stack:
        sink: BinaryIO = file
        if passphrase is not None:
            sink = cast("BinaryIO", stack.enter_context(SealingWriter(file, passphrase)))
        packed = stack.enter_context(pa.CompressedOutputStream(pa.PythonFile(_Unclosed(sink), "w"), "zstd"))
        tar = stack.enter_context(tarfile.open(fileobj=packed, mode="w|", bufsize=_COPY_BYTES))
        yield ArchiveWriter(tar)


def read_archive(
    path: Path, passphrase: str | None, into: Path, *, wanted: Callable[[str], bool] = lambda _: True
) -> BackupManifest:
    """Read a backup to its end, every byte checked, and write the wanted files below ``into``.

    Raises:
        PassphraseWrong: It is sealed with another passphrase, or damaged where it begins.
        BackupDamaged: It is cut off, changed, or no backup; what was written meanwhile must not be used.
        OSError: It cannot be read, or ``into`` cannot be written.
    """
    seen: dict[str, Member] = {}
    manifest: BackupManifest | None = None
    try:
        with path.open("rb") as file, _open_tar(file, passphrase) as tar:
            for info in tar:
                if not info.isreg() or not _is_plain(info.name):
                    raise BackupDamaged(f"{path}: it holds {info.name!r}, which no backup of ours does")
                content = cast("BinaryIO", tar.extractfile(info))
                if info.name == MANIFEST:
                    manifest = msgspec.json.decode(content.read(), type=BackupManifest)
                else:
                    seen[info.name] = _take(info, content, into if wanted(info.name) else None)
    except PassphraseWrong as exc:
        raise PassphraseWrong(
            f"the backup {path} does not open: {exc}; give the passphrase that it was sealed with (--passphrase-file); "
            "if that is the one, the file is damaged where it begins: take another backup"
        ) from exc
    except BackupDamaged as exc:
        raise BackupDamaged(f"the backup {path} cannot be used: {exc}") from exc
    except (tarfile.TarError, ArrowException, EOFError, msgspec.DecodeError) as exc:
        raise BackupDamaged(f"the backup {path} is damaged or cut off: {str(exc) or type(exc).__name__}") from exc
    except OSError as exc:
        if exc.errno is None:  # zstd says so of bytes that it did not write
            raise BackupDamaged(f"the backup {path} is damaged or cut off: {exc}") from exc
        raise
    if manifest is None:
        raise BackupDamaged(f"the backup {path} is cut off: it has no {MANIFEST}")
    _require_members(path, manifest, seen)
    return manifest


def is_passphrase_needed(path: Path) -> bool:
    """Whether the backup is sealed."""
    with path.open("rb") as file:
        return is_sealed(file.read(len(MAGIC)))


@contextmanager
def _open_tar(file: BinaryIO, passphrase: str | None) -> Iterator[tarfile.TarFile]:
    head = file.read(len(MAGIC))
    file.seek(0)
    with ExitStack() as stack:
        source: BinaryIO = file
        if is_sealed(head):
            if passphrase is None:
                raise BackupDamaged("it is sealed; give its passphrase with --passphrase-file")
            source = cast("BinaryIO", io.BufferedReader(OpeningReader(file, passphrase), _COPY_BYTES))
        packed = stack.enter_context(pa.CompressedInputStream(pa.PythonFile(source, "r"), "zstd"))
        yield stack.enter_context(tarfile.open(fileobj=packed, mode="r|", bufsize=_COPY_BYTES))


def _take(info: tarfile.TarInfo, content: BinaryIO, into: Path | None) -> Member:
    digest = hashlib.sha256()
    with ExitStack() as stack:
        target: BinaryIO | None = None
        if into is not None:
            path = into / info.name
            path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            target = stack.enter_context(
                open(path, "xb", opener=lambda name, flags: os.open(name, flags, info.mode & 0o770))
            )
        while block := content.read(_COPY_BYTES):
            digest.update(block)
            if target is not None:
                target.write(block)
        if target is not None:
            target.flush()
            os.fsync(target.fileno())
    return Member(name=info.name, size=info.size, sha256=digest.hexdigest())


def _require_members(path: Path, manifest: BackupManifest, seen: dict[str, Member]) -> None:
    for member in manifest.members:
        if seen.get(member.name) != member:
            raise BackupDamaged(f"the backup {path} is damaged: {member.name} is not what was backed up")
    if len(seen) != len(manifest.members):
        raise BackupDamaged(f"the backup {path} is damaged: it holds files that were not backed up")


def _is_plain(name: str) -> bool:
    path = PurePosixPath(name)
    return bool(name) and not path.is_absolute() and ".." not in path.parts


class _HashingReader:
    """Hashes what is read through it."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def read(self, size: int = -1) -> bytes:
        block = self._file.read(size)
        self._digest.update(block)
        return block

    def hexdigest(self) -> str:
        return self._digest.hexdigest()


class _Unclosed:
    """A sink that Arrow's stream may not close: whoever opened it does."""

    closed = False

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        return self._sink.write(data)

    def flush(self) -> None:
        self._sink.flush()

    def close(self) -> None:
        """Left to its owner."""
