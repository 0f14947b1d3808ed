"""What every suite has in common."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import pytest


@pytest.hookimpl(wrapper=True)
def pytest_report_to_serializable() -> Generator[None, Any, Any]:
    """A report reaches pytest's main process as UTF-8, which has nothing for half a character that a test logs."""
    return _writable((yield))


def _writable(part: Any) -> Any:
    match part:
        case str():
            return part.encode("utf-8", "backslashreplace").decode()
        case list() | tuple():
            return [_writable(one) for one in part]
        case dict():
            return {key: _writable(one) for key, one in part.items()}
    return part
