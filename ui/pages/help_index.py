"""Help: every topic, and a search that answers as one types."""

from __future__ import annotations

from nicegui import ui as ng

from appliance.errors import NotReady
from ui.components.markup import box, link, panel, text, with_attributes
from ui.help.finding import Hit, find
from ui.help.reference import LABELS, LEADS, SLUGS, known_reference, learn_reference
from ui.help.topics import list_topics
from ui.page import Page, View
from ui.texts import _, ngettext
from ui.words import number


async def build(view: View) -> None:
    """Fill the page."""
    _Search(view).draw()


class _Search:
    def __init__(self, view: View) -> None:
        self._view = view

    def draw(self) -> None:
        """The field, and below it what was found, or everything."""
        label = _("Search the help")
        field = ng.input(placeholder=label, value=self._view.query.get("find", ""))
        field.props("outlined dense clearable debounce=120 type=search autofocus").classes("help-search")
        with_attributes(field, aria_label=label)
        self._place = box("stack").props("aria-live=polite")
        field.on_value_change(lambda event: self._show(str(event.value or "")))
        self._show(str(field.value or ""))
        if known_reference() is None:
            ng.timer(0.1, self._learn, once=True)
        self._field = field

    async def _learn(self) -> None:
        """The reference, so that it is searched, too."""
        try:
            await self._view.ask(learn_reference)
        except NotReady:
            return  # its own page says why
        if not self._place.is_deleted and self._field.value:
            self._show(str(self._field.value))

    def _show(self, wanted: str) -> None:
        self._place.clear()
        with self._place:
            if wanted.strip():
                _hits(find(wanted, list_topics(), known_reference(), LABELS))
            else:
                _all()


def _hits(found: list[Hit]) -> None:
    if not found:
        text(_("Nothing in the help has all of these words."), "muted")
        return
    count = ngettext("{count} place", "{count} places", len(found)).format(count=number(len(found)))
    with panel(_("Found"), count):
        for hit in found:
            with with_attributes(box("help-hit"), lang=hit.language):
                link(hit.title, hit.address, "strong wrap-any")
                text(hit.where, "muted small")
                text(hit.excerpt, "small wrap-any")


def _all() -> None:
    with box("cols narrow"):
        for topic in list_topics():
            with with_attributes(box("pick", "a"), href=f"/help/{topic.slug}", lang=topic.language):
                text(topic.title, "strong")
                text(topic.lead, "small muted")
        for slug, label, lead in zip(SLUGS, LABELS, LEADS, strict=True):
            with with_attributes(box("pick", "a"), href=f"/help/{slug}"):
                text(label, "strong")
                text(lead, "small muted")


PAGE = Page(
    path="/help", section="help", title=_("Help"), build=build, cli="appliance --help",
    rest="GET /api/schema; GET /docs (inference API)",
    lead=_("Offline, about this release; press a topic, or type."),
)  # fmt: skip
