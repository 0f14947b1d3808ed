"""The watch loop: counts each new event exactly once into windows, joins labels, opens and closes alerts."""

from __future__ import annotations

import threading
from dataclasses import dataclass

from appliance.settings import Settings
from storage.layout import Layout


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """What one look at the log found: rows counted, labels joined, faults met, alerts opened or closed."""

    predictions: int
    labels: int
    errors: int
    faults: int
    alerts: int


class Watch:
    """The watch loop's state between looks: the database and the references of the versions seen."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def close(self) -> None:
        """Close the database."""


def watch_once(watch: Watch) -> Progress:
    """Count everything appended since the last look.

    Raises:
        StateUnwritable: The database cannot be written; nothing was counted twice, the next look goes on.
    """
    raise NotImplementedError


def watch_until(settings: Settings, stop: threading.Event) -> None:
    """Look every ``settings.watch_interval_s`` seconds until ``stop`` is set; also ``python -m`` of this module."""
    raise NotImplementedError
