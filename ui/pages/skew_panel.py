"""Training against serving: how each deployment of a model was proved."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from appliance.monitoring.skew import LIVE_ROWS, finding_of
from storage.skew_rows import SkewRow
from ui.components.markup import panel
from ui.components.status import status_of
from ui.components.table import Cell, Column, Row, Table
from ui.texts import _
from ui.words import when

_COLUMNS = (
    Column(name="version", label=_("Version")), Column(name="replay", label=_("Replayed over HTTP")),
    Column(name="live", label=_("First live rows")), Column(name="what", label=_("What was found"), prose=True),
)  # fmt: skip


def show_skew(rows: Sequence[SkewRow]) -> None:
    """The newest deployments first; nothing before the first one was looked at."""
    if not rows:
        return
    with panel(_("Training against serving"), tight=True):
        Table(_COLUMNS, [_row(one) for one in rows], per_page=5 if len(rows) > 5 else 0, name="skew")


def _row(one: SkewRow) -> Row:
    told = [found.sentence for found in (finding_of(one.replay), finding_of(one.live)) if found is not None]
    cells = {
        "version": Cell(text=str(one.version), sort=one.version),
        "replay": _proof(one.replay, one.replayed_at, _("waits for the API")),
        "live": _proof(one.live, one.live_at, _("waits for {rows} rows").format(rows=LIVE_ROWS)),
        "what": Cell(text=" ".join(told).replace("`", "")),
    }
    return Row(id=str(one.deployment), cells=cells)


def _proof(text: str, at: datetime | None, waiting: str) -> Cell:
    found = finding_of(text)
    if found is None:
        return Cell(status=status_of("waiting"), note=waiting)
    return Cell(status=status_of(found.state.value), note=when(at))
