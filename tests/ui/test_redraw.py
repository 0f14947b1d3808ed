"""A part that is drawn again: what stays, what goes, and what the browser is told; with NiceGUI's own elements."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import pytest
from nicegui import Client, core
from nicegui import ui as ng
from nicegui.element import Element

from ui.components.form import button, dialog
from ui.components.markup import box, panel, text
from ui.components.table import Cell, Column, Row, Table
from ui.redraw import current, redraw

COLUMNS = (Column(name="name", label="Name"), Column(name="act", label="", sortable=False))


@asynccontextmanager
async def tab() -> AsyncIterator[Element]:
    """A place on the page of one open tab, of which everything so far was sent."""
    client = Client(ng.page("/test"))
    with client:
        place = box()
        yield place
    client.delete()


def in_tab(test: Callable[[Element], object]) -> None:
    async def run() -> None:
        async with tab() as place:
            test(place)

    asyncio.run(run())


def sent(place: Element) -> set[int]:
    """What the browser would be told of now, and is."""
    updates = set(place.client.outbox.updates)
    place.client.outbox.updates.clear()
    return updates


def rows(names: Sequence[str]) -> list[Row]:
    return [Row(id=name, cells={"name": Cell(text=name)}) for name in names]


Found = TypeVar("Found", bound=Element)


def find(place: Element, kind: type[Found]) -> Found:
    return next(one for one in place.descendants() if isinstance(one, kind))


def test_what_did_not_change_keeps_its_ids_and_is_not_sent() -> None:
    def test(place: Element) -> None:
        def render(said: str) -> Callable[[], None]:
            def draw() -> None:
                with panel("Head"), box("line"):
                    text("always")
                    text(said)

            return draw

        redraw(place, render("one"))
        ids = [one.id for one in place.descendants()]
        sent(place)
        redraw(place, render("two"))
        assert [one.id for one in place.descendants()] == ids
        assert sent(place) - {place.id} == {ids[-1]}
        assert [one.content for one in place.descendants() if isinstance(one, ng.html)] == ["Head", "always", "two"]

    in_tab(test)


def test_what_has_no_counterpart_comes_and_goes() -> None:
    def test(place: Element) -> None:
        def render(titles: str) -> Callable[[], None]:
            def draw() -> None:
                for title in titles:
                    with panel(title):
                        text(f"of {title}")

            return draw

        redraw(place, render("ac"))
        first, last = place.default_slot.children
        redraw(place, render("abcd"))
        ids = [one.id for one in place.default_slot.children]
        assert (ids[0], ids[2]) == (first.id, last.id)
        assert first.is_deleted
        assert current(first) is place.default_slot.children[0]
        redraw(place, render("c"))
        assert [one.id for one in place.default_slot.children] == [last.id]
        assert set(place.client.elements) >= {one.id for one in place.descendants()}
        assert ids[1] not in place.client.elements

    in_tab(test)


def test_a_table_takes_new_rows_and_keeps_search_order_and_page() -> None:
    def test(place: Element) -> None:
        def render(count: int) -> Callable[[], object]:
            return lambda: Table(COLUMNS, rows([f"row-{i}" for i in range(count)]), name="t", per_page=5)

        redraw(place, render(12))
        search, table = find(place, ng.input), find(place, ng.table)
        search.set_value("row-1")
        table.pagination = {"sortBy": "name", "descending": True, "page": 2, "rowsPerPage": 5}
        for count in (13, 3):  # three rows need no search, but this one is being used
            redraw(place, render(count))
            now, field = find(place, ng.table), find(place, ng.input)
            assert (now.id, field.id, field.props["for"]) == (table.id, search.id, field.html_id)
            assert len(now.rows) == count
            assert (field.value, field.visible, now.filter) == ("row-1", True, "row-1")
            assert now.pagination == {"sortBy": "name", "descending": True, "page": 2, "rowsPerPage": 5}
        field = find(place, ng.input)
        field.set_value("row-2")
        assert find(place, ng.table).filter == "row-2"

    in_tab(test)


def test_an_event_that_is_on_its_way_meets_the_new_handler() -> None:
    heard: list[str] = []

    def test(place: Element) -> None:
        def render(name: str) -> Callable[[], object]:
            return lambda: text("press").on("click", lambda: heard.append(name))

        redraw(place, render("old"))
        (listener,) = place.default_slot.children[0]._event_listeners
        redraw(place, render("new"))
        place.client.handle_event({"id": place.default_slot.children[0].id, "listener_id": listener, "args": []})

    in_tab(test)
    assert heard == ["new"]


def test_a_handler_that_waits_goes_on_where_it_was_called(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> None:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())  # NiceGUI runs handlers in its server's
        async with tab() as place:
            going = asyncio.Event()
            made: list[Element] = []

            async def work() -> None:
                await going.wait()
                made.append(text("done"))
                with dialog("Asked later") as window:
                    made.append(window)

            def render() -> None:
                with panel("Head"):
                    button("Work", work)

            redraw(place, render)
            pressed = find(place, ng.button)
            (listener,) = pressed._event_listeners
            place.client.handle_event({"id": pressed.id, "listener_id": listener, "args": []})
            for _ in range(5):
                await asyncio.sleep(0)
            for _ in range(3):
                redraw(place, render)
            assert "loading" in find(place, ng.button).props
            going.set()
            for _ in range(5):
                await asyncio.sleep(0)
            assert "loading" not in find(place, ng.button).props
            said, window = made
            assert said in list(place.descendants())
            redraw(place, render)
            assert said.is_deleted
            assert not window.is_deleted

    asyncio.run(run())


def test_what_cannot_be_drawn_leaves_what_stood_there() -> None:
    def test(place: Element) -> None:
        redraw(place, lambda: text("here"))
        before = [one.id for one in place.descendants()]

        def broken() -> None:
            text("half")
            raise ValueError("no more")

        with pytest.raises(ValueError, match="no more"):
            redraw(place, broken)
        assert [one.id for one in place.descendants()] == before
        assert set(place.client.elements) >= set(before)

    in_tab(test)


def test_long_lists_go_on_place_by_place() -> None:
    def test(place: Element) -> None:
        redraw(place, lambda: [text(f"line {i}") for i in range(900)])
        ids = [one.id for one in place.default_slot.children]
        redraw(place, lambda: [text(f"line {i}") for i in range(901)])
        assert [one.id for one in place.default_slot.children][:900] == ids

    in_tab(test)


def test_what_was_replaced_is_let_go() -> None:
    def test(place: Element) -> None:
        def render() -> None:
            with panel("Head"):
                Table(COLUMNS, rows([f"row-{i}" for i in range(12)]), name="t")

        for _ in range(3):
            redraw(place, render)
        gc.collect()
        before = sum(isinstance(one, Element) for one in gc.get_objects())
        for _ in range(20):
            redraw(place, render)
        gc.collect()
        assert sum(isinstance(one, Element) for one in gc.get_objects()) == before

    in_tab(test)


def test_no_button_goes_on_as_another_one() -> None:
    async def nothing() -> None:
        return

    def draw(labels: Sequence[str]) -> dict[str, int]:
        return {label: button(label, nothing).id for label in labels}

    def test(place: Element) -> None:
        ids: dict[str, int] = {}
        redraw(place, lambda: ids.update(draw(("Acknowledge", "Snooze", "Retrain"))))
        redraw(place, lambda: draw(("Snooze", "Retrain", "Roll back")))
        now = {one.text: one.id for one in place if isinstance(one, ng.button)}
        assert now["Snooze"] == ids["Snooze"]
        assert now["Retrain"] == ids["Retrain"]
        assert now["Roll back"] not in ids.values()

    in_tab(test)
