"""Seals what must not be read in a copy of the state database: channels' addresses, with the appliance's own secret."""

from __future__ import annotations

import base64
import hashlib
import hmac

from cryptography.fernet import Fernet, InvalidToken

from appliance.errors import NotReady
from storage.layout import Layout


class Seal:
    """AES-128-CBC with HMAC-SHA256 (Fernet); its key is derived from the file ``secret`` of the state."""

    def __init__(self, layout: Layout) -> None:
        try:
            secret = layout.secret.read_bytes()
        except OSError as exc:
            raise NotReady(
                f"cannot read {layout.secret}: {exc.strerror}; run 'appliance migrate' as its owner"
            ) from exc
        key = hmac.new(secret, b"addresses of alert channels", hashlib.sha256).digest()
        self._fernet = Fernet(base64.urlsafe_b64encode(key))

    def close(self, content: bytes) -> bytes:
        """Seal."""
        return self._fernet.encrypt(content)

    def find_content(self, sealed: bytes) -> bytes | None:
        """What was sealed; None when another secret did it, or it was changed since."""
        try:
            return self._fernet.decrypt(sealed)
        except InvalidToken:
            return None
