"""Slows down guessing: a few wrong passwords are free, then a name and an address have to wait."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

ALLOWED = 5
"""Wrong passwords within the window before waiting begins."""
WINDOW_S = 300.0
MOST_REMEMBERED = 10_000
"""Names and addresses remembered at once; the oldest is forgotten first, so that memory stays bounded."""


@dataclass(slots=True)
class LoginAttempts:
    """The failed logins of the last minutes, counted by user name and by address."""

    failures: dict[str, deque[float]] = field(default_factory=dict)

    def wait_s(self, name: str, address: str, *, now_s: float) -> float:
        """Seconds until another attempt is looked at; 0 when it may be tried now."""
        return max(self._wait_s(key, now_s) for key in _keys(name, address))

    def failed(self, name: str, address: str, *, now_s: float) -> None:
        """Remember a wrong password."""
        for key in _keys(name, address):
            times = self.failures.pop(key, deque(maxlen=ALLOWED))
            times.append(now_s)
            self.failures[key] = times
        while len(self.failures) > MOST_REMEMBERED:
            self.failures.pop(next(iter(self.failures)))

    def succeeded(self, name: str, address: str) -> None:
        """Forget the failures of somebody who now proved to be right."""
        for key in _keys(name, address):
            self.failures.pop(key, None)

    def _wait_s(self, key: str, now_s: float) -> float:
        times = self.failures.get(key)
        if times is None or len(times) < ALLOWED:
            return 0.0
        return max(0.0, times[0] + WINDOW_S - now_s)


def _keys(name: str, address: str) -> tuple[str, str]:
    return f"name:{name}", f"address:{address}"
