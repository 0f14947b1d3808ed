"""What is wrong with an upload, in words for who sent it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from appliance.errors import ApplianceError
from storage.errors import StorageError


@contextmanager
def told_by_name(path: Path) -> Iterator[None]:
    """Errors name the file as it was called; the folder where it waits is on a host that its sender does not see."""
    try:
        yield
    except (ApplianceError, StorageError) as exc:
        exc.args = tuple(one.replace(str(path), path.name) if isinstance(one, str) else one for one in exc.args)
        raise
