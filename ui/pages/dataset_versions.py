"""The versions of a dataset, and what changed from one to another: rows, columns, distributions."""

from __future__ import annotations

from collections.abc import Sequence

from nicegui import ui as ng

from appliance.monitoring.drift_report import ColumnDrift
from appliance.snapshot_diff import ColumnChange, SnapshotDiff
from storage.columns import ColumnInfo
from storage.datasets import Snapshot
from ui.components.facts import facts
from ui.components.form import choice
from ui.components.markup import box, panel, text
from ui.components.status import badge, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.page import View
from ui.texts import _, pgettext
from ui.words import DTYPES, NONE, SEVERITY, number, plain, share, when

_COLUMNS = (
    Column(name="version", label=_("Version")), Column(name="added", label=_("Added")),
    Column(name="rows", label=_("Rows"), numeric=True), Column(name="rejected", label=_("Rejected"), numeric=True),
    Column(name="columns", label=_("Columns"), numeric=True), Column(name="mode", label=_("How")),
    Column(name="who", label=_("By")), Column(name="source", label=pgettext("source", "From"), prose=True),
)  # fmt: skip


async def show_versions(view: View, name: str) -> None:
    """Fill the tab; ``old`` and ``new`` of the address say what is compared, else the newest two."""
    snapshots = await view.ask(view.appliance.datasets.versions, name)
    with panel(tight=True):
        Table(_COLUMNS, [_row(one) for one in snapshots], name=f"{name}-versions",
              per_page=10 if len(snapshots) > 10 else 0)  # fmt: skip
    if len(snapshots) < 2:
        text(_("Once there is a second version, the difference between the two is shown here."), "muted")
        return
    new = view.whole("new") or snapshots[0].version
    old = view.whole("old") or max((one.version for one in snapshots if one.version < new), default=new)
    _choose(name, [one.version for one in snapshots], old, new)
    view.later(
        _("Comparing version {old} with version {new}; this takes a few seconds.").format(old=old, new=new),
        lambda: view.appliance.datasets.diff(name, old, new), _difference,
    )  # fmt: skip


def _row(one: Snapshot) -> Row:
    how = _("rows added to the version before") if one.mode.value == "append" else _("all rows")
    rejected = f"/data/{one.dataset}?tab=rules&version={one.version}" if one.rejected else ""
    cells = {
        "version": Cell(text=str(one.version), sort=one.version, href=f"/data/{one.dataset}?version={one.version}"),
        "added": Cell(text=when(one.added_at), sort=one.added_at.timestamp()),
        "rows": Cell(text=number(one.rows), sort=one.rows),
        "rejected": Cell(text=number(one.rejected) if one.rejected else NONE, sort=one.rejected, href=rejected),
        "columns": Cell(text=str(len(one.columns)), sort=len(one.columns)),
        "mode": Cell(text=how),
        "who": Cell(text=one.who),
        "source": Cell(text=one.source.rsplit("/", 1)[-1], note=f"sha256 {one.sha256[:12]}…" if one.sha256 else ""),
    }
    return Row(id=str(one.version), cells=cells)


def _choose(name: str, versions: Sequence[int], old: int, new: int) -> None:
    options = {str(version): _("version {version}").format(version=version) for version in versions}

    def compare() -> None:
        ng.navigate.to(f"/data/{name}?tab=versions&old={before.value}&new={after.value}")

    with panel(_("Compare")), box("cols narrow"):
        before = choice(pgettext("version", "From"), options, str(old) if str(old) in options else None)
        after = choice(pgettext("version", "To"), options, str(new) if str(new) in options else None)
        before.on_value_change(compare)
        after.on_value_change(compare)


def _difference(diff: SnapshotDiff) -> None:
    old, new = diff.versions
    with panel(_("From version {old} to version {new}").format(old=old, new=new)):
        with box("line"):
            badge(
                diff.drift.state.value,
                _("Distributions: {state}").format(state=status_of(diff.drift.state.value).label),
            )
            text(_verdict(diff), "grow")
        facts((
            (_("Rows"), f"{number(diff.rows[0])} → {number(diff.rows[1])}"),
            (_("New columns"), _names(diff.added)), (_("Gone columns"), _names(diff.removed)),
        ))  # fmt: skip
    _schema(diff.changed)
    _distributions(diff.distributions)


def _verdict(diff: SnapshotDiff) -> str:
    if not diff.drift.drifted:
        return _("No column moved further than chance moves it.")
    return _("{drifted} moved; that is {drifted_share} of the columns.").format(
        drifted=", ".join(diff.drift.drifted[:5]), drifted_share=share(diff.drift.drifted_share)
    )


def _names(columns: Sequence[ColumnInfo]) -> str:
    return ", ".join(f"{one.name} ({DTYPES[one.dtype]})" for one in columns) or _("none")


def _schema(changed: Sequence[ColumnChange]) -> None:
    if not changed:
        text(_("No column changed its type, its share of missing values or its mean."), "muted")
        return
    columns = (
        Column(name="name", label=_("Column")),
        Column(name="type", label=_("Type")),
        Column(name="missing", label=_("Missing")),
        Column(name="mean", label=_("Mean")),
    )
    rows = [
        Row(id=one.name, cells={
            "name": Cell(text=one.name),
            "type": Cell(text=_pair(*(DTYPES[kind] for kind in one.dtype))),
            "missing": Cell(text=_pair(*(share(value) for value in one.missing_share))),
            "mean": Cell(text=_pair(*(number(value) for value in one.mean))),
        })
        for one in changed
    ]  # fmt: skip
    with panel(_("Columns that changed"), tight=True):
        Table(columns, rows, name="changed-columns")


def _distributions(columns: Sequence[ColumnDrift]) -> None:
    headings = (
        Column(name="name", label=_("Column")), Column(name="state", label=_("State")),
        Column(name="psi", label=_("PSI"), numeric=True), Column(name="floor", label=_("Noise floor"), numeric=True),
        Column(name="what", label=_("What happened"), prose=True),
    )  # fmt: skip
    rows = [
        Row(id=one.name, cells={
            "name": Cell(text=one.name, note=one.kind),
            "state": Cell(status=status_of(one.state.value), sort=SEVERITY.get(one.state.value, 0.0)),
            "psi": Cell(text=number(one.psi, digits=3), sort=one.psi if one.psi is not None else -1.0),
            "floor": Cell(text=number(one.noise_floor, digits=3), sort=one.noise_floor or 0.0),
            "what": Cell(text=plain(one.sentence), note="; ".join(one.faults)),
        })
        for one in sorted(columns, key=lambda one: (-SEVERITY.get(one.state.value, 0.0), -(one.psi or 0.0)))
    ]  # fmt: skip
    with panel(_("Distributions"), _("by the rule that watches a model's inputs; the old version is the reference"),
               tight=True):  # fmt: skip
        Table(headings, rows, name="distributions", per_page=25 if len(rows) > 25 else 0)


def _pair(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"
