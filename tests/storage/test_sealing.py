"""A sealed stream opens with its passphrase and not otherwise, whatever is changed, cut or swapped."""

from __future__ import annotations

import io

import pytest

from storage.errors import BackupDamaged, PassphraseWrong
from storage.sealing import CHUNK_BYTES, MAGIC, OpeningReader, SealingWriter

HEAD = len(MAGIC) + 24
SEALED = CHUNK_BYTES + 16


def seal(content: bytes) -> bytes:
    sink = io.BytesIO()
    with SealingWriter(sink, "correct horse") as writer:
        for start in range(0, len(content), 300_000):
            writer.write(content[start : start + 300_000])
    return sink.getvalue()


def unseal(sealed: bytes, passphrase: str) -> bytes:
    return io.BufferedReader(OpeningReader(io.BytesIO(sealed), passphrase)).read()


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 2_500_000])
def test_what_was_sealed_comes_back(size: int) -> None:
    content = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    assert unseal(seal(content), "correct horse") == content


def test_twice_the_same_is_sealed_differently() -> None:
    assert seal(b"x") != seal(b"x")


@pytest.fixture(scope="module")
def sealed() -> bytes:
    return seal(b"secret " * 400_000)  # three chunks


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda s: s[:-1], id="a byte less"),
        pytest.param(lambda s: s + b"x", id="a byte more"),
        pytest.param(lambda s: s[: HEAD + SEALED], id="only the first chunk"),
        pytest.param(lambda s: s[:HEAD] + s[HEAD + SEALED :], id="without the first chunk"),
        pytest.param(
            lambda s: (
                s[:HEAD] + s[HEAD + SEALED : HEAD + 2 * SEALED] + s[HEAD : HEAD + SEALED] + s[HEAD + 2 * SEALED :]
            ),
            id="swapped chunks",
        ),
        pytest.param(lambda s: s[: HEAD - 1] + bytes([s[HEAD - 1] ^ 1]) + s[HEAD:], id="another nonce"),
        pytest.param(lambda s: s[:-100] + bytes([s[-100] ^ 1]) + s[-99:], id="a changed byte"),
        pytest.param(lambda s: s[: HEAD - 3], id="half a head"),
        pytest.param(lambda s: s[: len(MAGIC)] + b"\xff" + s[len(MAGIC) + 1 :], id="a key that takes all memory"),
        pytest.param(lambda _: b"", id="nothing"),
    ],
)
def test_a_change_shows(sealed: bytes, change: object) -> None:
    with pytest.raises(BackupDamaged):
        unseal(change(sealed), "correct horse")  # type: ignore[operator]


def test_another_passphrase_opens_nothing(sealed: bytes) -> None:
    with pytest.raises(PassphraseWrong, match="the passphrase is wrong"):
        unseal(sealed, "wrong")
