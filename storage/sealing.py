"""A stream sealed with a passphrase: nobody without it reads it, and a changed, cut or reordered byte shows.

scrypt (RFC 7914) makes the key. The stream is cut into chunks, each sealed with AES-256-GCM under a nonce of a random
prefix, the chunk's number and whether it is the last (STREAM: Hoang, Reyhanitabar, Rogaway and Vizár, 2015), so that
chunks can be neither dropped nor swapped.
"""

from __future__ import annotations

import io
import secrets
import struct
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from storage.errors import BackupDamaged, PassphraseWrong

MAGIC = b"appliance sealed 1\n"
CHUNK_BYTES = 1 << 20
SCRYPT_LOG_N = 16
"""64 MB and a quarter of a second a guess."""
_HEAD = struct.Struct(">B16s7s")
_TAG_BYTES = 16


class SealingWriter(io.RawIOBase):
    """What is written goes sealed into ``sink``; only a closed one can be opened again. The sink stays open."""

    def __init__(self, sink: BinaryIO, passphrase: str) -> None:
        super().__init__()
        salt, self._prefix = secrets.token_bytes(16), secrets.token_bytes(7)
        head = MAGIC + _HEAD.pack(SCRYPT_LOG_N, salt, self._prefix)
        self._cipher = _cipher(passphrase, salt, SCRYPT_LOG_N)
        self._sink, self._head = sink, head
        self._pending = bytearray()
        self._number = 0
        sink.write(head)

    def writable(self) -> bool:
        """It is."""
        return True

    def write(self, data: bytes, /) -> int:  # type: ignore[override]
        """Take all of it; full chunks go to the sink, the last byte is held back for the last chunk."""
        self._pending += data
        while len(self._pending) > CHUNK_BYTES:
            self._seal(bytes(self._pending[:CHUNK_BYTES]), last=False)
            del self._pending[:CHUNK_BYTES]
        return len(data)

    def close(self) -> None:
        """Seal the last chunk."""
        if not self.closed:
            self._seal(bytes(self._pending), last=True)
        super().close()

    def _seal(self, chunk: bytes, *, last: bool) -> None:
        self._sink.write(self._cipher.encrypt(_nonce(self._prefix, self._number, last=last), chunk, self._head))
        self._number += 1


class OpeningReader(io.RawIOBase):
    """The stream that ``SealingWriter`` sealed."""

    def __init__(self, source: BinaryIO, passphrase: str) -> None:
        """Read the head.

        Raises:
            BackupDamaged: It is no sealed stream, or asks for more memory than any that we wrote.
        """
        super().__init__()
        head = source.read(len(MAGIC) + _HEAD.size)
        if not head.startswith(MAGIC) or len(head) != len(MAGIC) + _HEAD.size:
            raise BackupDamaged("it is no sealed backup")
        log_n, salt, self._prefix = _HEAD.unpack(head[len(MAGIC) :])
        if log_n > SCRYPT_LOG_N + 4:
            raise BackupDamaged("its head is damaged")
        self._cipher = _cipher(passphrase, salt, log_n)
        self._source, self._head = source, head
        self._ahead = source.read(CHUNK_BYTES + _TAG_BYTES)
        self._chunk = memoryview(b"")
        self._number = 0
        self._ended = False

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, into: memoryview, /) -> int:  # type: ignore[override]
        """Fill some of ``into``; 0 at the end of a whole stream.

        Raises:
            PassphraseWrong: Its first piece does not open, for either reason.
            BackupDamaged: A byte was changed or is missing.
        """
        while not self._chunk and not self._ended:
            self._open()
        count = min(len(into), len(self._chunk))
        into[:count] = self._chunk[:count]
        self._chunk = self._chunk[count:]
        return count

    def _open(self) -> None:
        sealed, self._ahead = self._ahead, self._source.read(CHUNK_BYTES + _TAG_BYTES)
        self._ended = not self._ahead
        try:
            opened = self._cipher.decrypt(_nonce(self._prefix, self._number, last=self._ended), sealed, self._head)
        except InvalidTag as exc:
            if self._number == 0:
                raise PassphraseWrong("the passphrase is wrong, or it is damaged") from exc
            raise BackupDamaged("it is damaged or cut off") from exc
        self._chunk = memoryview(opened)
        self._number += 1


def is_sealed(path_head: bytes) -> bool:
    """Whether a file that begins so is sealed."""
    return path_head.startswith(MAGIC)


def _cipher(passphrase: str, salt: bytes, log_n: int) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=1 << log_n, r=8, p=1).derive(passphrase.encode()))


def _nonce(prefix: bytes, number: int, *, last: bool) -> bytes:
    return prefix + struct.pack(">IB", number, last)
