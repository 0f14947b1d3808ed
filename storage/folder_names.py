"""Folders that are called ``key=value``, as Hive, Spark, DuckDB and Polars write them: what they say of their files."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

_FOLDER = re.compile(r"([A-Za-z_]\w*)=(.+)")


def folder_values(path: Path) -> tuple[tuple[str, str], ...]:
    """The keys and values that the folders of a file's path say, the outermost first; of a key twice, the inner one."""
    found = (_FOLDER.fullmatch(part) for part in path.parent.parts)
    return tuple({match.group(1): unquote(match.group(2)) for match in found if match}.items())
