"""The small disk of the storage tests."""

from tests.storage.conftest import small_disk

__all__ = ["small_disk"]
