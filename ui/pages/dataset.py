"""One dataset: its columns in figures, its first rows, its versions and how they differ."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from appliance.permissions import Action
from appliance.snapshot_diff import SnapshotDiff
from storage.columns import Dtype
from storage.datasets import Snapshot
from storage.profile import ColumnProfile
from ui.components.facts import facts
from ui.components.form import figure, tabs
from ui.components.histogram import histogram_html
from ui.components.markup import box, button_link, panel, text
from ui.components.status import notice
from ui.components.table import Cell, Column, Row, Table, raw_table
from ui.page import Page, View
from ui.words import NONE, number, share, when

_NUMERIC = {Dtype.INT, Dtype.FLOAT}
_TYPES = {
    Dtype.BOOL: "yes or no", Dtype.INT: "whole number", Dtype.FLOAT: "number", Dtype.STRING: "text", Dtype.DATE: "date",
    Dtype.DATETIME: "date and time",
}  # fmt: skip
_TABS = (("columns", "Columns"), ("rows", "First rows"), ("versions", "Versions"))
_PREVIEW = 100


async def build(view: View) -> None:
    """Fill the page."""
    name = view.parts["name"]
    version = int(view.query["version"]) if view.query.get("version", "").isdigit() else None
    shown = await view.ask(view.appliance.datasets.show, name, version)
    tab = view.query.get("tab", "columns")
    if view.actions and view.may(Action.WORK):
        with view.actions:
            button_link("Add a version", "/data", icon_name="upload_file")
            button_link("Create a model", f"/models/new?dataset={name}", icon_name="add", primary=True)
    _head(shown)
    findings = await view.ask(view.appliance.datasets.findings, name, shown.version)
    if findings:
        with panel("Worth a look", "found in this version"), box("stack s"):
            for finding in findings:
                notice(finding.message, tone="warn", title=finding.column or "The whole table")
    pinned = f"&version={version}" if version else ""
    tabs(_TABS, tab, lambda key: f"/data/{name}?tab={key}{pinned}")
    if tab == "rows":
        _rows(await view.ask(view.appliance.datasets.preview, name, shown.version, _PREVIEW), shown)
    elif tab == "versions":
        await _versions(view, name)
    else:
        _columns(await view.ask(view.appliance.datasets.profile, name, shown.version))


def _head(shown: Snapshot) -> None:
    with panel(), box("figures"):
        figure("Version", str(shown.version), note=when(shown.added_at))
        figure("Rows", number(shown.rows))
        figure("Columns", str(len(shown.columns)))
        figure("Added by", shown.who, small=True)
        figure(
            "From",
            shown.source.rsplit("/", 1)[-1],
            note=f"sha256 {shown.sha256[:12]}…" if shown.sha256 else "",
            small=True,
        )


def _columns(profile: Sequence[ColumnProfile]) -> None:
    columns = (
        Column(name="name", label="Column"), Column(name="type", label="Type"),
        Column(name="missing", label="Missing", numeric=True), Column(name="distinct", label="Distinct", numeric=True),
        Column(name="range", label="Range, or most frequent"), Column(name="mean", label="Mean", numeric=True),
        Column(name="shape", label="Distribution", sortable=False),
    )  # fmt: skip
    with panel(tight=True):
        Table(columns, [_column(one) for one in profile], search="Search columns" if len(profile) > 12 else "")


def _column(one: ColumnProfile) -> Row:
    missing = one.missing / one.rows if one.rows else 0.0
    if one.histogram:
        counts: Sequence[float] = one.histogram.counts
    else:
        counts = [count for _, count in one.top]
    spread = f"{_end(one.minimum)} to {_end(one.maximum)}"
    if one.dtype in {Dtype.STRING, Dtype.BOOL}:
        spread = ", ".join(value for value, _ in one.top[:3])
    cells = {
        "name": Cell(text=one.name),
        "type": Cell(text=_TYPES[one.dtype]),
        "missing": Cell(text=share(missing) if one.missing else "none", sort=missing),
        "distinct": Cell(text=number(one.distinct), sort=one.distinct),
        "range": Cell(text=spread[:80] if one.distinct else NONE),
        "mean": Cell(text=number(one.mean), sort=one.mean if one.mean is not None else float("-inf")),
        "shape": Cell(markup=histogram_html(counts, label=f"{one.name}: {spread[:80]}") if counts else ""),
    }
    return Row(id=one.name, cells=cells)


def _end(value: float | str | None) -> str:
    return number(value) if isinstance(value, int | float) else str(value)[:24]


def _rows(frame: pl.DataFrame, shown: Snapshot) -> None:
    kinds = {column.name: column.dtype for column in shown.columns}
    headings = [(name, _TYPES[kinds[name]]) for name in frame.columns]
    numeric = [kinds[name] in _NUMERIC for name in frame.columns]
    cells = [[_plain(value) for value in row] for row in frame.iter_rows()]
    with panel(f"The first {number(frame.height)} of {number(shown.rows)} rows", tight=True):
        raw_table(headings, cells, numeric=numeric)


def _plain(value: object) -> str | None:
    if value is None:
        return None
    return f"{value:.10g}" if isinstance(value, float) else str(value)[:200]


async def _versions(view: View, name: str) -> None:
    snapshots = await view.ask(view.appliance.datasets.versions, name)
    columns = (
        Column(name="version", label="Version"), Column(name="added", label="Added"),
        Column(name="rows", label="Rows", numeric=True), Column(name="columns", label="Columns", numeric=True),
        Column(name="mode", label="How"), Column(name="who", label="By"),
        Column(name="source", label="From", prose=True),
    )  # fmt: skip
    with panel(tight=True):
        Table(columns, [_version(one) for one in snapshots])
    if len(snapshots) < 2:
        text("A second version can be compared with this one: the difference is shown here.", "muted")
        return
    newest = snapshots[0].version
    old = int(view.query.get("old", newest - 1)) if view.query.get("old", "1").isdigit() else newest - 1
    new = int(view.query.get("new", newest)) if view.query.get("new", "1").isdigit() else newest
    _difference(await view.ask(view.appliance.datasets.diff, name, old, new))


def _version(one: Snapshot) -> Row:
    how = "rows added to the version before" if one.mode.value == "append" else "all rows"
    cells = {
        "version": Cell(text=str(one.version), sort=one.version, href=f"/data/{one.dataset}?version={one.version}"),
        "added": Cell(text=when(one.added_at), sort=one.added_at.timestamp()),
        "rows": Cell(text=number(one.rows), sort=one.rows),
        "columns": Cell(text=str(len(one.columns)), sort=len(one.columns)),
        "mode": Cell(text=how),
        "who": Cell(text=one.who),
        "source": Cell(text=one.source.rsplit("/", 1)[-1], note=f"sha256 {one.sha256[:12]}…" if one.sha256 else ""),
    }
    return Row(id=str(one.version), cells=cells)


def _difference(diff: SnapshotDiff) -> None:
    old, new = diff.versions
    with panel(f"From version {old} to version {new}"):
        facts((
            ("Rows", f"{number(diff.rows[0])} → {number(diff.rows[1])}"),
            ("New columns", ", ".join(one.name for one in diff.added) or "none"),
            ("Gone columns", ", ".join(one.name for one in diff.removed) or "none"),
        ))  # fmt: skip
        if not diff.changed:
            text("No column changed its type, its share of missing values or its mean.", "muted")
            return
    columns = (
        Column(name="name", label="Column"), Column(name="type", label="Type"), Column(name="missing", label="Missing"),
        Column(name="mean", label="Mean"),
    )  # fmt: skip
    rows = [
        Row(id=one.name, cells={
            "name": Cell(text=one.name),
            "type": Cell(text=_pair(*(_TYPES[kind] for kind in one.dtype))),
            "missing": Cell(text=_pair(*(share(value) for value in one.missing_share))),
            "mean": Cell(text=_pair(*(number(value) for value in one.mean))),
        })
        for one in diff.changed
    ]  # fmt: skip
    with panel("Columns that changed", tight=True):
        Table(columns, rows)


def _pair(old: str, new: str) -> str:
    return old if old == new else f"{old} → {new}"


PAGE = Page(
    path="/data/{name}", section="data", title="{name}", build=build, parents=(("Data", "/data"),),
    cli="appliance data show {name}", rest="GET /api/datasets/{name}/profile",
)  # fmt: skip
