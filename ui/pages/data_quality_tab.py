"""Data quality: what was odd about the rows, by column, beside what was usual at training."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from appliance.monitoring.data_quality_report import ColumnQuality, DataQualityReport, Oddity, Share, UnknownColumn
from ui.components.empty import empty
from ui.components.form import figure
from ui.components.markup import box, panel, text
from ui.components.status import badge, notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import View
from ui.pages.closer import until_part
from ui.pages.window_line import window_line
from ui.texts import _
from ui.words import NONE, SEVERITY, number, plain, share

_COLUMNS = (
    Column(name="name", label=_("Column")), Column(name="state", label=_("State")),
    Column(name="missing", label=_("Missing, then and now"), numeric=True),
    Column(name="unseen", label=_("Unseen categories"), numeric=True),
    Column(name="outside", label=_("Out of range"), numeric=True),
    Column(name="refused", label=_("Requests refused"), numeric=True),
    # On the page it stands below the refused, of which it is a part: all of it has to fit beside the navigation.
    Column(name="mistyped", label=_("Of another type"), numeric=True, filed=True),
    Column(name="what", label=_("What changed"), prose=True),
)  # fmt: skip
_UNKNOWN = (
    Column(name="name", label=_("Column")), Column(name="state", label=_("State")),
    Column(name="rows", label=_("Rows"), numeric=True), Column(name="share", label=_("Share"), numeric=True),
    Column(name="versions", label=_("Known to")),
)  # fmt: skip


async def show_data_quality(view: View, name: str, window_s: int, until: datetime | None = None) -> None:
    """Fill the tab."""
    monitoring = view.appliance.monitoring
    span = (f"&window={quote(view.query['window'])}" if view.query.get("window") else "") + until_part(view)
    await view.live(
        10.0,
        lambda: monitoring.data_quality(name, window_s, until=until),
        lambda found: _show(found, span, newest=until is None),
    )


def _show(found: DataQualityReport, span: str, *, newest: bool) -> None:
    if not found.rows and not found.refused:
        empty(
            _("No row in this window"),
            _(
                "Of every row is counted what is missing, unseen or out of the training's range, and of every refused "
                "request for which column."
            ),
            icon_name="monitor_heart",
            action=(_("Send a row from the page Try it"), f"/models/{found.model}/try"),
        )
        return
    with panel(), box("stack"):
        with box("line"):
            badge(found.state.value, _("Rows: {state}").format(state=status_of(found.state.value).label))
            text(plain(found.sentence), "grow")
        with box("figures"):
            figure(
                _("Rows in the window"), number(found.rows), note=_("version {version}").format(version=found.version)
            )
            figure(
                _("Requests refused for a column"), number(found.refused),
                note=_("{mistyped} with a value of another type, the others without one").format(
                    mistyped=number(found.mistyped)
                ),
            )  # fmt: skip
            figure(_("Columns that nobody knows"), number(len(found.unknown)), note=_("ignored"))
            figure(_("Rows that repeat another"), share(found.duplicate_share))
            figure(_("Schema"), found.schema, note=_("fingerprint of the columns"))
    for version, schema in found.schemas.items():
        if schema != found.schema:
            notice(
                _(
                    "Version {version}, which answered too or stands beside, takes other columns (schema {schema})."
                ).format(version=version, schema=schema)
            )
    window_line(found.window, what=_("Events"), newest=newest)
    if found.unknown:
        with panel(_("Unknown columns"), _("sent by callers, not taken by this version, ignored"), tight=True):
            Table(_UNKNOWN, [_unknown(one) for one in found.unknown], per_page=20 if len(found.unknown) > 20 else 0,
                  search=_("Search columns"), name="unknown-columns")  # fmt: skip
    show_columns(found, span)
    text(
        _("A share counts as changed by the rule of drift, over two bins, odd or not: warning or alarm only when it "
        "differs from the training beyond chance. Of repeated rows there is no verdict, since their share grows with "
        "the number of rows."), "muted small",
    ).style("max-width: 92ch")  # fmt: skip


def show_columns(found: DataQualityReport, span: str) -> None:
    """Every column with its shares, the worst first; the names lead to their histograms."""
    ordered = sorted(found.columns, key=lambda one: -SEVERITY.get(one.state.value, 0.0))
    with panel(_("Columns"), _("click one to see its histograms"), tight=True):
        rows = [_row(one, f"/monitoring/{found.model}?tab=drift{span}&column={quote(one.name)}") for one in ordered]
        Table(
            _COLUMNS,
            rows,
            search=_("Search columns"),
            per_page=25 if len(ordered) > 25 else 0,
            name=f"{found.model}-rows",
        ).fit()


def _row(one: ColumnQuality, address: str) -> Row:
    limits = NONE if one.low is None else _("{low} to {high}").format(low=number(one.low), high=number(one.high))
    cells = {
        "name": Cell(text=one.name, href=address, note=one.kind),
        "state": Cell(status=status_of(one.state.value), sort=SEVERITY.get(one.state.value, 0.0)),
        "missing": _shares(one.shares.get(Oddity.MISSING)),
        "unseen": _now(one.shares.get(Oddity.UNSEEN)),
        "outside": _now(
            one.shares.get(Oddity.OUTSIDE), note="" if one.low is None else _("of {limits}").format(limits=limits)
        ),
        "refused": _count(one.shares[Oddity.REFUSED], note=_mistyped(one.shares[Oddity.TYPE])),
        "mistyped": _count(one.shares[Oddity.TYPE]),
        "what": Cell(text=plain(one.sentence)),
    }
    return Row(id=one.name, cells=cells)


def _shares(found: Share | None) -> Cell:
    if found is None:
        return Cell(text=NONE, sort=-1.0)
    return Cell(text=f"{share(found.share.reference)} → {share(found.share.current)}", sort=found.share.current)


def _now(found: Share | None, note: str = "") -> Cell:
    if found is None:
        return Cell(text=NONE, sort=-1.0)
    return Cell(text=share(found.share.current), note=note, sort=found.share.current)


def _count(found: Share, note: str = "") -> Cell:
    return Cell(text=number(found.count), sort=float(found.count), note=note)


def _mistyped(found: Share) -> str:
    return _("{count} of another type").format(count=number(found.count)) if found.count else ""


def _unknown(one: UnknownColumn) -> Row:
    cells = {
        "name": Cell(text=one.name or _("further names, together")),
        "state": Cell(status=status_of(one.state.value), sort=SEVERITY.get(one.state.value, 0.0)),
        "rows": Cell(text=number(one.rows), sort=float(one.rows)),
        "share": Cell(text=share(one.share), sort=one.share),
        "versions": Cell(
            text=", ".join(_("version {version}").format(version=version) for version in one.versions) or NONE
        ),
    }
    return Row(id=one.name or "further", cells=cells)
