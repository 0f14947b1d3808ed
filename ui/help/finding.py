"""Finds what somebody types in the topics and in the reference."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from appliance.reference import Reference
from ui.help.topics import Topic
from ui.texts import ENGLISH

Labels = tuple[str, str, str]

MOST_FOUND = 30
AROUND = 90
"""Letters of a text that are shown on each side of what was found."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A place of the help; ``excerpt`` is what stands there, in its ``language``."""

    language: str
    title: str
    where: str
    address: str
    excerpt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    hit: Hit
    text: str


def find(wanted: str, topics: Iterable[Topic], reference: Reference | None, labels: Labels) -> list[Hit]:
    """The places that have every word of ``wanted``, those with it in their heading first.

    Args:
        wanted: As it was typed; nothing is found by nothing.
        topics: In the order in which they are shown.
        reference: None while it is not known yet.
        labels: How the three references, of the commands, of the calls and of the settings, are called.
    """
    words = wanted.casefold().split()
    if not words:
        return []
    places = [*_of_topics(topics), *_of_reference(reference, labels)]
    found = [place for place in places if all(word in f"{place.hit.title} {place.text}".casefold() for word in words)]
    found.sort(key=lambda place: not all(word in place.hit.title.casefold() for word in words))
    return [replace(one.hit, excerpt=_excerpt(one.text, words)) for one in found[:MOST_FOUND]]


def _of_topics(topics: Iterable[Topic]) -> Iterable[_Place]:
    for topic in topics:
        for section in topic.sections:
            hit = Hit(
                title=section.title, where=topic.title, address=f"/help/{topic.slug}#{section.anchor}", excerpt="",
                language=topic.language,
            )  # fmt: skip
            yield _Place(hit=hit, text=section.text)


def _of_reference(reference: Reference | None, labels: Labels) -> Iterable[_Place]:
    if reference is None:
        return
    parts = (reference.commands, reference.calls, reference.settings)
    for slug, label, entries in zip(("cli", "rest", "settings"), labels, parts, strict=True):
        for entry in entries:
            address = f"/help/{slug}#{anchor_of(entry.name)}"
            hit = Hit(title=entry.name, where=label, address=address, excerpt="", language=ENGLISH)
            yield _Place(hit=hit, text=" ".join(entry.text.split()))


def anchor_of(name: str) -> str:
    """Where a command or a call stands on its page."""
    return "-".join(re.findall(r"[a-z0-9]+", name.lower()))


def _excerpt(text: str, words: list[str]) -> str:
    at = min((place for word in words if (place := text.casefold().find(word)) >= 0), default=0)
    first, last = max(0, at - AROUND), at + AROUND
    return f"{'…' if first else ''}{text[first:last]}{'…' if last < len(text) else ''}"
