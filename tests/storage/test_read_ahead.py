from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from storage.read_ahead import AHEAD, read_ahead


def test_items_come_in_their_order() -> None:
    with read_ahead(range(100)) as items:
        assert list(items) == list(range(100))


def test_nothing_is_nothing() -> None:
    with read_ahead(range(0)) as items:
        assert list(items) == []


def test_an_error_comes_behind_the_items_before_it() -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise ValueError("the second")

    with read_ahead(broken()) as items:
        assert next(items) == 1
        with pytest.raises(ValueError, match="the second"):
            next(items)


def test_what_is_not_taken_is_not_read() -> None:
    read: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            read.append(len(read))
            yield read[-1]

    with read_ahead(endless()) as items:
        assert next(items) == 0
    assert len(read) <= AHEAD + 4
    assert not any(thread.name == "read ahead" for thread in threading.enumerate())


def test_an_error_of_the_taker_ends_the_reading() -> None:
    with pytest.raises(KeyError), read_ahead(range(10**9)) as items:
        next(items)
        raise KeyError
    assert not any(thread.name == "read ahead" for thread in threading.enumerate())
