"""What was deployed and is not served, in a small file a worker, which the watch loop alerts on."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

import msgspec

from storage.bundles import replace_durably
from storage.errors import StateUnwritable
from storage.layout import Layout

log = logging.getLogger("appliance.api")


class Refusal(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was deployed and does not serve, or deployments that cannot be followed.

    Attributes:
        model: Empty when ``deployments.json`` itself cannot be read.
        role: Which the version was to have.
        version: That was deployed.
        serving: The champion that answers meanwhile; None when none does.
        reason: A sentence.
    """

    model: str
    role: str
    version: int
    serving: int | None
    reason: str


_DECODE = msgspec.json.Decoder(list[Refusal])


class Refusals:
    """The file of one worker. It outlives the process: a restart does not end a refusal.

    Attributes:
        pending: The file could not be written yet.
    """

    def __init__(self, layout: Layout, worker: int) -> None:
        self._path = _directory(layout) / f"{worker}.json"
        self._written: list[Refusal] | None = None
        self.pending = False

    def write(self, refusals: Sequence[Refusal]) -> None:
        """Replace the file when something changed; what a full disk keeps out is left for the next call."""
        if refusals == self._written:
            return
        try:
            self._path.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
            replace_durably(self._path, msgspec.json.encode(refusals))
        except (StateUnwritable, OSError) as exc:
            if not self.pending:
                log.error("the refusals of this worker are not alerted yet: %s", exc)
            self.pending = True
            return
        for refusal in refusals:
            log.error("model %s, %s: %s", refusal.model, refusal.role, refusal.reason, extra={"model": refusal.model})
        self._written, self.pending = list(refusals), False


def read_refusals(layout: Layout) -> list[Refusal]:
    """What any worker refuses, each once, by model, role and version."""
    found: dict[tuple[str, str, int], Refusal] = {}
    for path in _files(layout):
        try:
            refusals = _DECODE.decode(path.read_bytes())
        except (OSError, msgspec.DecodeError):
            continue  # its worker writes it again when something changes
        found |= {(one.model, one.role, one.version): one for one in refusals}
    return [found[key] for key in sorted(found)]


def forget_workers(layout: Layout, *, beyond: int) -> None:
    """Remove the files of workers that there are no more: those numbered ``beyond`` and on."""
    for path in _files(layout):
        if not path.stem.isdecimal() or int(path.stem) >= beyond:
            path.unlink(missing_ok=True)


def _directory(layout: Layout) -> Path:
    return layout.run / "api-refusals"


def _files(layout: Layout) -> Iterable[Path]:
    return sorted(_directory(layout).glob("*.json"))
