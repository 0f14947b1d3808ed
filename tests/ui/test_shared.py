"""A look that takes long is shared by all tabs, and holds for as long as it is worth."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from ui.shared import KEPT, Shared

STATE = object()


class Looks:
    """Counts looks, each of which takes two seconds of a clock of our own."""

    def __init__(self) -> None:
        self.now = 0.0
        self.count = 0

    def look(self, asked: object) -> int:
        assert asked is STATE
        self.now += 2.0
        self.count += 1
        return self.count


def test_an_answer_holds_for_some_times_as_long_as_it_took() -> None:
    looks = Looks()
    shared = Shared(looks.look, clock=lambda: looks.now)
    assert [shared(STATE), shared(STATE)] == [1, 1]
    looks.now = 2.0 + 2.0 * KEPT - 0.1
    assert shared(STATE) == 1
    looks.now += 0.1
    assert shared(STATE) == 2


def test_who_comes_meanwhile_gets_the_same_answer() -> None:
    entered, leave = threading.Event(), threading.Event()
    looked: list[object] = []
    now = [0.0]

    def look(asked: object) -> int:
        entered.set()
        assert leave.wait(10)
        now[0] += 1.0
        looked.append(asked)
        return len(looked)

    shared = Shared(look, clock=lambda: now[0])
    with ThreadPoolExecutor(4) as pool:
        answers = [pool.submit(shared, STATE) for _ in range(4)]
        assert entered.wait(10)
        leave.set()
        assert [one.result(10) for one in answers] == [1] * 4


def test_an_error_is_told_and_asked_again() -> None:
    answers = iter([0, 7])

    def look(_: object) -> int:
        found = next(answers)
        if not found:
            raise ValueError("held")
        return found

    shared = Shared(look)
    with pytest.raises(ValueError, match="held"):
        shared(STATE)
    assert shared(STATE) == 7
