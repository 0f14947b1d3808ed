"""The topics of the help: read from the files beside this one, drawn as markup with everything in them escaped."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import markdown2

from ui.texts import ENGLISH, language

FOLDER = Path(__file__).parent
TOPICS = (
    "first-model", "data", "sending-data", "deploying", "monitoring", "alerts", "retraining", "access", "backup",
    "upgrade", "troubleshooting", "words",
)  # fmt: skip
"""In the order in which somebody meets them."""
_EXTRAS = {"tables": None, "fenced-code-blocks": None, "header-ids": None}
_LINK = re.compile(r'href="([a-z-]+)\.md(#[^"]*)?"')
_MARKS = re.compile(r"[`*|]|\]\([^)]*\)|\[|^#+ |^-{3,}", re.MULTILINE)

TOPIC_OF = {
    "/": "first-model", "/data": "data", "/data/{name}": "data", "/models/{name}": "deploying",
    "/models/{name}/try": "sending-data", "/models/{name}/declaration": "retraining", "/jobs": "troubleshooting",
    "/jobs/{job_id}": "troubleshooting", "/doctor": "troubleshooting",
}  # fmt: skip
"""The topic that fits a page, by its address."""
_TOPIC_OF_SECTION = {
    "data": "data", "models": "first-model", "monitoring": "monitoring", "alerts": "alerts", "settings": "access",
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A part of a topic under a heading of its own; ``text`` is plain, for a search."""

    anchor: str
    title: str
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Topic:
    """One topic in one language.

    Attributes:
        slug: Its address below ``/help/``.
        lead: What it is about, in a sentence.
        html: All below the lead, as markup.
        language: Of its texts, as HTML writes it; a page in another language says so where it shows them.
    """

    slug: str
    language: str
    title: str
    lead: str
    html: str
    sections: tuple[Section, ...]


def topic_of(path: str, section: str) -> str:
    """The topic that fits a page, by its address or else by its place in the navigation."""
    return TOPIC_OF.get(path) or _TOPIC_OF_SECTION.get(section, TOPICS[0])


def list_topics() -> tuple[Topic, ...]:
    """Every topic in the language of the process, or in English where it has none in that."""
    return tuple(read_topic(slug) for slug in TOPICS)


def read_topic(slug: str) -> Topic:
    """One of ``TOPICS``, likewise."""
    spoken = language() if (FOLDER / language() / f"{slug}.md").is_file() else ENGLISH
    return _read(slug, spoken, FOLDER / spoken / f"{slug}.md")


@cache
def _read(slug: str, spoken: str, file: Path) -> Topic:
    heading, lead, body = file.read_text(encoding="utf-8").split("\n\n", 2)
    parts = [part.split("\n", 1) for part in re.split(r"^## ", body, flags=re.MULTILINE)[1:]]
    html = str(markdown2.markdown(body, safe_mode="escape", extras=_EXTRAS))
    anchors = re.findall(r'<h2 id="([^"]+)"', html)
    sections = tuple(
        Section(anchor=anchor, title=title.strip(), text=plain(text))
        for anchor, (title, text) in zip(anchors, parts, strict=True)
    )
    return Topic(
        slug=slug, language=spoken, title=heading.removeprefix("# "), lead=lead.strip(), sections=sections,
        html=_LINK.sub(r'href="/help/\1\2"', html),
    )  # fmt: skip


def plain(text: str) -> str:
    """A piece of Markdown without its marks, in one line."""
    return " ".join(_MARKS.sub(" ", text).split())
