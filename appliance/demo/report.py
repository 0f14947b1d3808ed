"""How the demo tells what it does: steps, notes and bars; on a terminal through rich."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Advance = Callable[[int, str], None]
"""Sets how far a bar is, and the words behind it."""


class DemoReport(Protocol):
    """Who listens to a demo."""

    def step(self, text: str) -> None:
        """The next step begins."""

    def note(self, text: str) -> None:
        """Something worth knowing about the step that just ended."""

    def bar(self, unit: str, *, total: int) -> AbstractContextManager[Advance]:
        """Progress of the step, as a count up to ``total``."""


class ConsoleReport:
    """Writes to a terminal; without one, plain lines."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def step(self, text: str) -> None:
        """Print the step."""
        self._console.print(f"[bold]→[/] {text}")

    def note(self, text: str) -> None:
        """Print the note under its step."""
        self._console.print(f"  {text}", style="dim")

    @contextmanager
    def bar(self, unit: str, *, total: int) -> Iterator[Advance]:
        """Draw a bar that leaves its last state on the screen."""
        columns = (
            TextColumn("  {task.description}"), BarColumn(bar_width=32), MofNCompleteColumn(),
            TimeRemainingColumn(elapsed_when_finished=True), TextColumn("[dim]{task.fields[words]}"),
        )  # fmt: skip
        with Progress(*columns, console=self._console, disable=not self._console.is_terminal) as progress:
            task = progress.add_task(unit, total=total, words="")

            def advance(done: int, words: str) -> None:
                progress.update(task, completed=done, words=words)

            yield advance
