"""The audit: who did what to what, searched as a whole, with an address for every entry and every search."""

from __future__ import annotations

from html import escape
from urllib.parse import quote

from nicegui import ui as ng

from appliance.permissions import Action
from storage.audit_rows import AuditRow
from ui.components.empty import empty
from ui.components.form import button
from ui.components.markup import link, panel, text
from ui.components.table import Cell, Column, Row, Table
from ui.page import Page, View, tell
from ui.texts import _, ngettext, pgettext
from ui.words import NONE, number, when

_MOST = 500
_COLUMNS = (
    Column(name="id", label=_("Entry"), numeric=True), Column(name="at", label=_("When")),
    Column(name="who", label=_("Who")), Column(name="action", label=_("Did")),
    Column(name="subject", label=pgettext("audit", "To")), Column(name="detail", label=_("Detail"), prose=True),
)  # fmt: skip


async def build(view: View) -> None:
    """Fill the page."""
    sought, entry = view.query.get("q", "").strip(), view.whole("entry")
    if view.actions is not None:
        with view.actions:
            button(_("Verify the chain"), lambda: _verify(view), icon_name="verified")
    _search_field(sought)
    access = view.appliance.access
    if entry is not None:
        await view.live(5.0, lambda: access.audit(3, until=entry + 1), lambda rows: _one(rows, entry))
        return
    await view.live(5.0, lambda: access.audit(_MOST, text=sought), lambda rows: _show(rows, sought))


def _search_field(sought: str) -> None:
    label, go = escape(_("Search all entries: a name, an action, a model, a word")), escape(_("Search"))
    ng.html(
        f'<form class="line" method="get" action="/audit" role="search">'
        f'<input class="native-search grow" type="search" name="q" value="{escape(sought)}" placeholder="{label}" '
        f'aria-label="{label}"><button type="submit" class="a-btn btn-plain">{go}</button></form>',
        sanitize=False,
    ).style("width: 100%")


async def _verify(view: View) -> None:
    proof = await view.act(Action.ADMINISTER, view.appliance.access.verify)
    if proof and proof.intact:
        said = ngettext(
            "The only entry is as it was written", "All {count} entries are as they were written", proof.rows
        )
        tell(said.format(count=proof.rows))
    elif proof:
        tell(
            _("Entry {number} is not as it was written, or is missing").format(number=proof.broken_at),
            wrong=True,
        )


def _show(rows: tuple[AuditRow, ...], sought: str) -> None:
    if not rows:
        empty(
            _("No entry has {sought}").format(sought=sought) if sought else _("No entry yet"),
            _("The search looks at who did it, what was done, to what, and the detail, in every entry."),
            icon_name="manage_search", action=(_("Show all entries"), "/audit"),
        )  # fmt: skip
        return
    title = _("Entries with {sought}").format(sought=sought) if sought else _("The newest entries")
    note = _("each is chained to the one before by its hash")
    if len(rows) == _MOST:
        note = _("the newest {count}; search for older ones").format(count=number(_MOST))
    with panel(title, note, tight=True):
        _table(rows)
    if sought:
        link(_("Show all entries"), "/audit", "small")


def _one(rows: tuple[AuditRow, ...], entry: int) -> None:
    if all(row.id != entry for row in rows):
        empty(
            _("There is no entry {number}").format(number=entry), _("Entries are numbered from 1 on, without gaps."),
            icon_name="manage_search", action=(_("Show all entries"), "/audit"),
        )  # fmt: skip
        return
    with panel(_("Entry {number}").format(number=entry), _("between its neighbours"), tight=True):
        _table(rows)
    text(_("A click on who, what or whom shows all entries with it."), "muted small")
    link(_("Show all entries"), "/audit", "small")


def _table(rows: tuple[AuditRow, ...]) -> None:
    Table(_COLUMNS, [_row(row) for row in rows], per_page=25 if len(rows) > 25 else 0, name="audit",
          search=_("Search among these"))  # fmt: skip


def _row(row: AuditRow) -> Row:
    entry = row.entry
    cells = {
        "id": Cell(text=str(row.id), sort=row.id, href=f"/audit?entry={row.id}"),
        "at": Cell(text=when(entry.at), sort=entry.at.timestamp()),
        "who": Cell(text=entry.who, href=_search(entry.who)),
        "action": Cell(text=entry.action, href=_search(entry.action)),
        "subject": Cell(text=entry.subject or NONE, href=_search(entry.subject) if entry.subject else ""),
        "detail": Cell(text=entry.detail or NONE, href=_behind(entry.action, entry.detail)),
    }
    return Row(id=str(row.id), cells=cells)


def _search(word: str) -> str:
    return f"/audit?q={quote(word)}"


def _behind(action: str, detail: str) -> str:
    """The job that an entry names; nothing where it names none."""
    return f"/jobs/{detail.removeprefix('job ')}" if action.startswith("job.") and detail.startswith("job ") else ""


PAGE = Page(
    path="/audit", section="audit", title=_("Audit"), build=build, action=Action.ADMINISTER,
    lead=_("Who did what, and when; nothing of it can be changed unnoticed."),
    cli="appliance audit; appliance audit verify", rest="GET /api/audit?q=WORD",
)  # fmt: skip
