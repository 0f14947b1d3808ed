"""One topic of the help, or one part of the reference."""

from __future__ import annotations

from appliance.errors import NotFound
from appliance.reference import Entry, Reference
from ui.components.markup import box, link, markup, panel, text, with_attributes
from ui.help.finding import anchor_of
from ui.help.reference import LABELS, LEADS, SLUGS, known_reference, learn_reference
from ui.help.topics import TOPICS, list_topics, read_topic
from ui.page import Page, View
from ui.texts import ENGLISH, _


async def build(view: View) -> None:
    """Fill the page of a topic."""
    slug = view.parts["topic"]
    if slug in SLUGS:
        _reference(view, slug)
    elif slug in TOPICS:
        topic = read_topic(slug)
        with with_attributes(panel(topic.title), lang=topic.language):
            text(topic.lead, "muted", "p")
            markup(topic.html).classes("help-text")
    else:
        raise NotFound(_("there is no such topic; Help lists those that there are"))
    _others(slug)


def _reference(view: View, slug: str) -> None:
    place = SLUGS.index(slug)

    def show(found: Reference) -> None:
        with panel(LABELS[place], LEADS[place], tight=True):
            _entries({"cli": found.commands, "rest": found.calls, "settings": found.settings}[slug])

    known = known_reference()
    if known is not None:
        show(known)
    else:
        view.later(_("Asking the program itself; this takes a few seconds."), learn_reference, show)


def _entries(entries: tuple[Entry, ...]) -> None:
    with with_attributes(box("help-entries"), lang=ENGLISH):
        for entry in entries:
            with with_attributes(box("", "details"), id=anchor_of(entry.name)):
                with box("", "summary"):
                    text(entry.name, "mono strong wrap-any", "span")
                    text(entry.summary, "muted small", "span")
                with_attributes(text(entry.text, "log", "pre"), tabindex="0")


def _others(slug: str) -> None:
    with panel(_("Other topics")), with_attributes(box("line", "nav"), aria_label=_("Other topics")):
        for topic in list_topics():
            if topic.slug != slug:
                with_attributes(link(topic.title, f"/help/{topic.slug}", "small"), lang=topic.language)
        for other, label in zip(SLUGS, LABELS, strict=True):
            if other != slug:
                link(label, f"/help/{other}", "small")


PAGE = Page(
    path="/help/{topic}", section="help", title=_("Help"), build=build, parents=((_("Help"), "/help"),),
    cli="appliance --help", rest="GET /api/schema; GET /docs (inference API)",
)  # fmt: skip
