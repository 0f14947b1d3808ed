"""What the dashboard uses of NiceGUI beyond its documented interface: a release that moves it is told by name here."""

from __future__ import annotations

import ast
from pathlib import Path

import nicegui
import pytest
from nicegui import ui as ng

from tests.ui.test_redraw import in_tab

UI = Path(__file__).parents[2] / "ui"
ELEMENT = ("_deleted", "_event_listeners", "_markers", "_to_dict", "html_id", "default_slot", "parent_slot", "client")
VALUE = ("_client_value", "_send_update_on_value_change")
SLOT = ("_parent", "children", "template")
LISTENER = ("id", "element_id", "type", "args", "js_handler")
OUTBOX = ("updates", "enqueue_update")
PROPS = ("suspend_updates",)
CLIENT = ("elements", "remove_elements", "outbox", "content", "page")


def missing(one: object, names: tuple[str, ...]) -> list[str]:
    return [f"{type(one).__name__}.{name}" for name in names if not hasattr(one, name)]


def test_this_release_of_nicegui_has_what_redraw_takes_over() -> None:
    def test(place: ng.element) -> None:
        with place:
            field = ng.input("here").on("click", lambda: None)
        (listener, *_) = field._event_listeners.values()
        gone = [
            *missing(field, ELEMENT + VALUE), *missing(field.default_slot, SLOT), *missing(listener, LISTENER),
            *missing(place.client, CLIENT), *missing(place.client.outbox, OUTBOX), *missing(field.props, PROPS),
            *missing(place.client.page, ("reconnect_timeout",)),
        ]  # fmt: skip
        assert not gone, (
            f"NiceGUI {nicegui.__version__} moved or renamed {', '.join(gone)}: ui/redraw.py and ui/memory.py rely on "
            "it; see what took its place before this release is taken"
        )

    in_tab(test)


@pytest.mark.parametrize("module", sorted(UI.rglob("*.py")), ids=lambda path: str(path.relative_to(UI)))
def test_no_private_part_is_used_that_is_not_looked_for(module: Path) -> None:
    used = {
        one.attr
        for one in ast.walk(ast.parse(module.read_text(encoding="utf-8")))
        if isinstance(one, ast.Attribute)
        and one.attr.startswith("_")
        and not one.attr.startswith("__")
        and not (isinstance(one.value, ast.Name) and one.value.id in {"self", "cls"})
    }
    assert used <= {*ELEMENT, *VALUE, *SLOT}
