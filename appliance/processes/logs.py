"""``appliance logs``: from the journal under systemd, else from the log files."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from appliance.errors import BadInput, NotFound
from appliance.processes.logfiles import Follower, log_path, read_tail
from appliance.processes.loglines import subject_field
from appliance.processes.roster import MODULES
from appliance.settings import Settings

Priority = Literal["crit", "err", "warning", "notice", "info", "debug"]
"""Of the journal, the worst first."""

_UNITS_ALONE = ("backup", "recover")
"""Units that run now and then."""
_FILES_ALONE = ("supervisor",)
"""What systemd does itself."""


_LINES = 50
_BEGINS = re.compile(r"(\S+ \| )?(CRITICAL|ERROR|WARNING|INFO|DEBUG)\b")
"""The first line of what was said at once, in a log file: ours, Prefect's, uvicorn's."""
_AGO = re.compile(r"\d+[smhdw]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which entries of the logs are shown; what is None leaves none out.

    Attributes:
        priority: Those of this priority and worse, which the journal alone knows.
        since: Those of this span until now (``2h``), or since a moment as ``journalctl`` reads it
            (``2026-11-30 22:00``, ``yesterday``), which the journal alone knows.
        about: Those about a model, a dataset, a job or a request, by ``loglines.SUBJECTS``.
    """

    priority: Priority | None = None
    since: str | None = None
    about: Mapping[str, str] = field(default_factory=dict)

    def as_arguments(self) -> list[str]:
        """The same for ``journalctl``."""
        since = self.since and (f"-{self.since}" if _AGO.fullmatch(self.since) else self.since)
        return [
            *([f"--priority={self.priority}"] if self.priority else []), *([f"--since={since}"] if since else []),
            *(f"{subject_field(name)}={value}" for name, value in self.about.items()),
        ]  # fmt: skip


def print_logs(
    settings: Settings, name: str | None, *, lines: int | None, follow: bool, wanted: Wanted | None = None
) -> None:
    """Print the last lines of one process's log, or of all; with ``follow`` go on until interrupted.

    Args:
        settings: Say whether there are units.
        name: The process; all when None.
        lines: How many at most: of each process, or with units in all. When None all since ``wanted.since``, else 50.
        follow: Go on.
        wanted: Which of them; all when None.

    Raises:
        NotFound: The appliance has no such process.
        BadInput: A priority or a moment was asked for and there is no journal.
    """
    wanted = wanted or Wanted()
    known = (*MODULES, *(_UNITS_ALONE if settings.systemd else _FILES_ALONE))
    if name is not None and name not in known:
        raise NotFound(f"there is no process {name!r}; choose one of {', '.join(known)}")
    most = lines if lines is not None else None if wanted.since else _LINES
    if settings.systemd:
        become_journalctl(name, lines=most, follow=follow, wanted=wanted)
    if wanted.priority is not None:
        raise BadInput("--priority needs the journal; here the logs are files, whose lines begin with ERROR or WARNING")
    if wanted.since is not None:
        raise BadInput("--since needs the journal; here the logs are files, whose lines have no time; ask with --lines")
    names = [name] if name else list(known)
    followers = {each: Follower(log_path(settings.layout, each)) for each in names}
    naming = {each: _Naming(tuple(wanted.about.values())) for each in names}
    for each in names:
        found = read_tail(log_path(settings.layout, each), lines=None if wanted.about else most)
        picked = naming[each].pick(found)
        for line in picked if most is None else picked[max(0, len(picked) - most) :]:
            print(f"{each:12} | {line}")
    while follow:
        time.sleep(0.3)
        for each, follower in followers.items():
            for line in naming[each].pick(follower.read_lines()):
                print(f"{each:12} | {line}", flush=True)


class _Naming:
    """Picks what names all of some words from a log file, each with the lines that were said with it."""

    def __init__(self, words: Collection[str]) -> None:
        self._words = words
        self._picks = not words

    def pick(self, lines: Iterable[str]) -> list[str]:
        picked = []
        for line in lines:
            if _BEGINS.match(line) or not self._picks:
                self._picks = all(word in line for word in self._words)
            if self._picks:
                picked.append(line)
        return picked


def become_journalctl(name: str | None, *, lines: int | None, follow: bool, wanted: Wanted) -> NoReturn:
    """Replace this process by the one that reads the journal, so that Ctrl-C is its own."""
    most = "all" if lines is None else lines
    arguments = ["journalctl", "--no-pager", f"--unit=appliance-{name or '*'}", f"--lines={most}"]
    arguments += [*wanted.as_arguments(), *(["--follow"] if follow else [])]
    os.execvp("journalctl", arguments)  # noqa: S606  (our own program, an argument list)
