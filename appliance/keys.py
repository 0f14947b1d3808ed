"""API keys and their scopes; light, since whoever checks a key on a request imports it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from enum import StrEnum

KEY_PREFIX = "apk_"


class Scope(StrEnum):
    """What a key opens.

    predict: ask models. label: send labels. read: metrics, and every reading call of the control API. admin: all.
    """

    PREDICT = "predict"
    LABEL = "label"
    READ = "read"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyInfo:
    """A good key, and what it opens."""

    name: str
    scopes: frozenset[Scope]

    def opens(self, scope: Scope) -> bool:
        """The key has that scope, or is an admin's."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


def hash_key(key: str) -> bytes:
    """What is stored of a key: 256 random bits need no slow hash."""
    return hashlib.sha256(key.encode()).digest()


def parse_scopes(scope: str) -> frozenset[Scope]:
    """The scopes of a comma-joined text.

    Raises:
        ValueError: One of them is no scope.
    """
    return frozenset(Scope(part.strip()) for part in scope.split(","))
