"""A question in SQL to a dataset: one SELECT, which changes nothing and ends by itself."""

from __future__ import annotations

from urllib.parse import quote

from nicegui import ui as ng

from appliance.api.control.query_routes import MOST_ROWS, TIMEOUT_S, Found, Query, run_query
from appliance.errors import ApplianceError
from appliance.permissions import Action
from storage.datasets import Snapshot
from storage.errors import StorageError
from ui.components.form import button
from ui.components.markup import box, panel, text, with_attributes
from ui.components.status import notice
from ui.components.table import raw_table
from ui.page import View, log_refused
from ui.texts import _, ngettext
from ui.words import number, seconds

_NUMERIC = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "HUGEINT")


async def show_sql(view: View, shown: Snapshot) -> None:
    """Fill the tab; the address keeps the query, so that it can be sent to somebody."""
    if not view.may(Action.WORK):
        notice(_("Asking in SQL needs the role operator; an admin can change roles in Settings."))
        return
    first = shown.columns[0].name.replace('"', '""')
    usual = f'SELECT "{first}", count(*) AS rows\nFROM source\nGROUP BY ALL\nORDER BY rows DESC'
    pinned = f"&version={shown.version}" if "version" in view.query else ""
    with panel(
        _("SQL"),
        _(
            'source is version {version}; other datasets are tables under their names, in double quotes as "{dataset}"'
        ).format(version=shown.version, dataset=shown.dataset),
    ):
        field = ng.textarea(_("One SELECT in DuckDB's dialect"), value=view.query.get("sql") or usual)
        field.props("outlined autogrow").classes("mono-field").style("width: 100%")
        with box("line"):

            async def run() -> None:
                asked = Query(sql=field.value or "", dataset=shown.dataset, version=shown.version, rows=MOST_ROWS)
                found = await view.act(Action.WORK, _ask, view, asked)
                if found is None or place.is_deleted:
                    return
                place.clear()  # also of a question that is refused: the answer to another one would be taken for its
                with place:
                    if isinstance(found, str):
                        refused = notice(found, tone="alarm", title=_("No answer to this")).classes("verbatim")
                        with_attributes(refused, role="alert")
                        return
                    _answer(found)
                ng.navigate.history.replace(f"/data/{shown.dataset}?tab=sql{pinned}&sql={quote(asked.sql)}")

            button(_("Run"), run, kind="primary", icon_name="play_arrow")
            field.on("keydown.ctrl.enter", run)
            text(
                _(
                    "Ctrl+Enter runs it. It reads and changes nothing, ends after {seconds} s, and shows up to "
                    "{rows} rows."
                ).format(seconds=TIMEOUT_S, rows=number(MOST_ROWS)),
                "muted small grow",
            )
    place = box("stack")


def _ask(view: View, asked: Query) -> Found | str:
    """The answer, or why there is none."""
    try:
        return run_query(view.appliance, asked)
    except (ApplianceError, StorageError) as exc:
        return log_refused(exc)


def _answer(found: Found) -> None:
    count = len(found.rows)
    cut = (
        ngettext("the first {count} row", "the first {count} rows", count).format(count=number(count))
        if found.truncated
        else ngettext("{count} row", "{count} rows", count).format(count=number(count))
    )
    with panel(_("Answer"), _("{cut}, in {seconds}").format(cut=cut, seconds=seconds(found.seconds)), tight=True):
        raw_table(
            found.columns, [[_plain(value) for value in row] for row in found.rows],
            numeric=[any(kind in type_name for kind in _NUMERIC) for _, type_name in found.columns], name="answer",
        )  # fmt: skip


def _plain(value: object) -> str | None:
    if value is None:
        return None
    return f"{value:.10g}" if isinstance(value, float) else str(value)
