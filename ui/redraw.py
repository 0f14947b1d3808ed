"""Drawing a part of a page again without taking away what somebody does in it.

A part is rendered whole; what comes out is held against what stands there, and each new element goes on as the old
one in its place: under its id, so that the browser keeps the node with its focus, its cursor and what was typed, and
is sent nothing unless something differs. Only what has no counterpart comes or goes.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Hashable, Iterator, Sequence
from difflib import SequenceMatcher

from nicegui import binding
from nicegui import ui as ng
from nicegui.element import Element
from nicegui.elements.mixins.value_element import ValueElement

_MOST_COMPARED = 40_000
"""Pairs; two longer lists go on as each other place by place, since to compare all with all would hold everybody up."""

Kind = Callable[[Element], Hashable]


def redraw(place: Element, render: Callable[[], object]) -> None:
    """Let ``render`` say anew what stands in ``place``; nothing once the place is gone.

    Kept is what is in a field, the order, page and search of a table, and where the focus is. Elements are told apart
    by their kind, by their order and by their marks (``Element.mark``): mark what may move, as one panel of many.
    When ``render`` raises, what stood there stands on.
    """
    if place.is_deleted:
        return
    slot = place.default_slot
    before, slot.children = slot.children, []
    try:
        with place:
            render()
    except BaseException:
        drawn, slot.children = slot.children, before
        _drop(drawn)
        place.update()
        raise
    _go_on(before, slot.children)
    place.update()


def current(element: Element) -> Element:
    """The element that goes on as this one after redraws; itself when there was none."""
    return element.client.elements.get(element.id, element)


def _go_on(before: Sequence[Element], now: Sequence[Element]) -> None:
    pairs = list(_pairs(before, now, _shape, _kind))
    stays = {id(old) for old, _ in pairs}
    for old, new in pairs:
        _take_over(old, new)
    _drop([old for old in before if id(old) not in stays])


def _pairs(before: Sequence[Element], now: Sequence[Element], *kinds: Kind) -> Iterator[tuple[Element, Element]]:
    """Which goes on as which, in order: first those alike in all that they hold, then between them those of a kind."""
    if not kinds or not before or not now:
        return
    if len(before) * len(now) > _MOST_COMPARED:
        yield from ((old, new) for old, new in zip(before, now, strict=False) if _kind(old) == _kind(new))
        return
    alike, *rest = kinds
    matcher = SequenceMatcher(None, [alike(one) for one in before], [alike(one) for one in now], autojunk=False)
    i = j = 0
    for block in matcher.get_matching_blocks():  # the last one is empty and stands at both ends
        yield from _pairs(before[i : block.a], now[j : block.b], *rest)
        i, j = block.a + block.size, block.b + block.size
        yield from zip(before[block.a : i], now[block.b : j], strict=True)


def _kind(one: Element) -> Hashable:
    heard = tuple((each.type, str(each.args), each.js_handler) for each in one._event_listeners.values())
    # A click that is under way names the button by its id: under that of Snooze must not stand Retrain.
    does = (one.text, one.props.get("icon")) if isinstance(one, ng.button) else None
    return type(one), one.tag, one.props.get("tag"), tuple(one._markers), heard, does


def _shape(one: Element) -> Hashable:
    return _kind(one), tuple((name, tuple(map(_shape, slot))) for name, slot in one.slots.items())


def _take_over(old: Element, new: Element) -> None:
    """Put the new element where the old one is, in the browser's eyes and in those of handlers that still run."""
    was = old._to_dict()
    for name, slot in new.slots.items():
        if name in old.slots:
            _go_on(old.slots[name].children, slot.children)
    _keep_id(old, new)
    _keep_slots(old, new)
    _keep_state(old, new)
    binding.remove([old])
    old._deleted = True
    outbox = new.client.outbox
    if new.id in outbox.updates or new._to_dict() != was:
        outbox.enqueue_update(new)


def _keep_id(old: Element, new: Element) -> None:
    """The ids of the element and of its events: for others the browser would build it again."""
    client, drawn_as = new.client, new.html_id
    del client.elements[new.id]
    client.outbox.updates.pop(new.id, None)
    new.id = old.id
    client.elements[new.id] = new
    with new.props.suspend_updates():
        for name in [name for name, value in new.props.items() if value == drawn_as]:
            new.props[name] = new.html_id  # a label's `for`
    for known, listener in zip(old._event_listeners.values(), new._event_listeners.values(), strict=True):
        listener.id, listener.element_id = known.id, new.id
    new._event_listeners = {one.id: one for one in new._event_listeners.values()}


def _keep_slots(old: Element, new: Element) -> None:
    """Slots stay the same objects: a handler that waits for an answer builds into the one it was called from."""
    for name, slot in list(new.slots.items()):
        kept = old.slots.get(name)
        if kept is None:
            continue
        kept.children, kept.template = slot.children, slot.template
        kept._parent = weakref.ref(new)
        for child in kept.children:
            child.parent_slot = kept
        new.slots[name] = kept
    new.default_slot = new.slots["default"]


def _keep_state(old: Element, new: Element) -> None:
    """What somebody did with the element and has not sent, and what it is doing."""
    with new.props.suspend_updates():
        if isinstance(old, ng.button) and "loading" in old.props:
            new.props["loading"] = old.props["loading"]
        if isinstance(old, ng.table) and isinstance(new, ng.table):
            paged = new.props["hide-pagination"] == old.props["hide-pagination"]
            kept = {name: value for name, value in old.pagination.items() if paged or name != "rowsPerPage"}
            new.props["pagination"] = {**new.pagination, **kept}
        if isinstance(old, ValueElement) and isinstance(new, ValueElement):
            new._send_update_on_value_change = False
            new.set_value(old.value)  # tells handlers and bindings too, such as a table of its search
            new._send_update_on_value_change = True
            new._client_value = old._client_value


def _drop(elements: Sequence[Element]) -> None:
    for one in elements:
        one.client.remove_elements(one.descendants(include_self=True))
