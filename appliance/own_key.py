"""API keys that the appliance makes for its own requests; only a file of the state and the key's hash know of one."""

from __future__ import annotations

import os
import secrets
import threading
from pathlib import Path

from appliance.access import Access
from appliance.errors import ApplianceError


class OwnKey:
    """One such key, made when it is first needed and again when it was revoked; safe in any thread."""

    def __init__(self, access: Access, file: Path, who: str) -> None:
        self._access = access
        self._file = file
        self._who = who
        self._lock = threading.Lock()

    def read(self) -> str:
        """The key, of scope predict.

        Raises:
            ApplianceError: Its file cannot be written.
        """
        with self._lock:
            kept = _read(self._file)
            if kept and self._access.check_key(kept):
                return kept
            new = self._access.create_key(f"{self._who}-{secrets.token_hex(4)}", "predict", who=self._who)
            try:
                self._file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
                with open(self._file, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as out:
                    out.write(new.key)
            except OSError as exc:
                raise ApplianceError(f"cannot keep the key of {self._who} in {self._file}: {exc.strerror}") from exc
            return new.key


def _read(file: Path) -> str | None:
    try:
        return file.read_text().strip()
    except OSError:
        return None
