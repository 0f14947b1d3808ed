"""The settings file, TOML: what of it this release knows, and what it does not.

A key that nobody knows stops nothing, since a newer release may have written it, which was taken back; it is left out
and told, with the key that may have been meant.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class SettingsFile:
    """One file as it was read.

    Attributes:
        known: The settings of this release in it.
        strangers: The other keys, in their order.
    """

    path: Path
    known: dict[str, object]
    strangers: tuple[str, ...]


def read_settings_file(path: Path, names: Collection[str]) -> SettingsFile:
    """Read a file; one that is not there holds nothing.

    Args:
        path: The file.
        names: The settings that there are.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no TOML, or no UTF-8.
    """
    content = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return SettingsFile(
        path=path, known={name: value for name, value in content.items() if name in names},
        strangers=tuple(name for name in content if name not in names),
    )  # fmt: skip


def describe_stranger(name: str, names: Collection[str]) -> str:
    """A sentence about a key that is no setting, with the one that may have been meant."""
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.75)
    meant = f"; did you mean {close[0]!r}?" if close else " (a newer release may)"
    return f"{name!r} is left out, this release has no such setting{meant}"
