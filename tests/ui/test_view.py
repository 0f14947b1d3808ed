"""The parts of an open page: what cannot be fetched is said and logged under an id, and what is shown stays."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from nicegui import Client, core
from nicegui import ui as ng
from starlette.requests import Request

from appliance.access import Role
from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.sessions import Sessions
from appliance.errors import NotAllowed, NotReady
from appliance.house import open_appliance, prepare_state
from appliance.permissions import Caller
from appliance.settings import Settings
from ui.components.markup import text
from ui.page import SESSION_KEY, View
from ui.pages.time_range import chosen_range


@asynccontextmanager
async def open_view(folder: Path) -> AsyncIterator[View]:
    """A tab that is open, on a state of its own."""
    settings = Settings(state=folder / "state")
    prepare_state(settings)
    appliance = open_appliance(settings)
    doorkeeper = Doorkeeper(appliance.access, Sessions(folder / "sessions.json"))
    client = Client(ng.page("/test"))
    with client:
        yield View(
            appliance=appliance, doorkeeper=doorkeeper, request=asked({}),
            caller=Caller(name="ada", role=Role.ADMIN, must_change=False),
        )  # fmt: skip
    client.delete()
    appliance.jobs.close()


def asked(session: dict[str, str]) -> Request:
    """What a browser sent with such a session."""
    return Request({
        "type": "http", "path_params": {}, "query_string": b"q=eve", "session": session, "headers": [],
        "path": "/audit", "scheme": "http", "server": ("127.0.0.1", 8080),
    })  # fmt: skip


def run(test: Callable[[View], object], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def in_view() -> None:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())
        async with open_view(folder) as view:
            await test(view)  # type: ignore[misc]

    asyncio.run(in_view())


def words() -> str:
    """What is seen on the page."""
    found = (one for one in ng.context.client.content.descendants() if isinstance(one, ng.html))
    return "\n".join(one.content for one in found if all(each.visible for each in one.ancestors(include_self=True)))


def show(value: str) -> None:
    text(value)


@pytest.mark.parametrize(
    ("error", "said"),
    [(ZeroDivisionError("a fault of ours"), "did not expect"), (NotReady("it does not answer"), "does not answer")],
)
def test_a_part_that_is_filled_later_says_what_went_wrong(
    error: Exception, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fetch() -> str:
        raise error

    async def test(view: View) -> None:
        begun: list[Callable[[], object]] = []
        monkeypatch.setattr(ng, "timer", lambda _delay_s, callback, **_once: begun.append(callback))
        view.later("this takes a few seconds", fetch, show)
        assert "a few seconds" in words()
        await begun[0]()  # type: ignore[misc]
        assert "This cannot be shown" in words()
        assert "a few seconds" not in words()
        assert said in words()

    run(test, tmp_path, monkeypatch)
    (told,) = (record for record in caplog.records if record.name == "appliance.ui")
    assert re.search(r"dashboard error [0-9a-f]{8}", told.getMessage())


def test_a_live_part_keeps_what_it_shows_says_that_it_is_old_and_recovers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    looks = ["first", "", "", "first"]
    drawn: list[str] = []

    def look() -> str:
        if found := looks.pop(0):
            return found
        raise ZeroDivisionError("a fault of ours")

    def draw(value: str) -> None:
        drawn.append(value)
        show(value)

    async def test(view: View) -> None:
        every: list[Callable[[], object]] = []
        monkeypatch.setattr(view, "every", lambda _interval_s, callback: every.append(callback))
        await view.live_part(2.0, look, draw)
        (again,) = every
        for _ in range(2):
            await again()  # type: ignore[misc]
            assert "first" in words()
            assert "is not brought up to date" in words()
            assert "(error " in words()
        await again()  # type: ignore[misc]
        assert "is not brought up to date" not in words()
        assert "first" in words()

    run(test, tmp_path, monkeypatch)
    assert drawn == ["first"]
    (told,) = (record for record in caplog.records if record.name == "appliance.ui")
    assert told.exc_info is not None


def test_a_timer_that_ended_does_not_begin_again_when_the_tab_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def nothing() -> None:
        """Is not called in this test."""

    async def test(view: View) -> None:
        ended, going = view.every(2.0, nothing), view.every(2.0, nothing)
        view.end(ended)
        for hidden in (True, False):
            view.pause(hidden=hidden)
            assert (ended.active, going.active) == (False, not hidden)

    run(test, tmp_path, monkeypatch)


@pytest.mark.parametrize(("kept", "taken"), [("7d", "7d"), ("999999d", "24h"), ("soon", "24h"), ("usual", "24h")])
def test_a_kept_range_that_is_none_any_more_is_the_usual_one(
    kept: str, taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(view: View) -> None:
        monkeypatch.setattr(view, "remembered", lambda _name, _usual: kept)
        assert chosen_range(view, "24h") == taken

    run(test, tmp_path, monkeypatch)


def sent_to() -> list[str]:
    """Where the browser was told to go."""
    return [data["path"] for _, kind, data in ng.context.client.outbox.messages if kind == "open"]


@pytest.mark.parametrize(
    ("happens", "goes_to"),
    [
        (lambda view, token: view.doorkeeper.logout(token), ["/login?next=/audit%3Fq%3Deve"]),
        (lambda view, _: view.doorkeeper.remove_user("eve", who="ada"), ["/login?next=/audit%3Fq%3Deve"]),
        (
            lambda view, _: view.appliance.access.set_password("eve", "given out 12", who="cli"),
            ["/password?next=/audit%3Fq%3Deve"],
        ),
        (lambda view, _: view.appliance.access.set_role("eve", "viewer", who="ada"), ["/audit?q=eve"]),
        (lambda view, _: view.appliance.access.set_role("eve", "admin", who="ada"), []),
        (lambda *_: None, []),
    ],
    ids=["logged out", "removed", "a password for one use", "a lesser role", "a higher role", "nothing"],
)
def test_an_open_page_ends_with_what_opened_it(
    happens: Callable[[View, str], None], goes_to: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(house: View) -> None:
        access = house.appliance.access
        access.create_user("eve", "operator", "given out 12", who="ada")
        access.set_password("eve", "my own secret", who="eve")
        token = house.doorkeeper.login("eve", "my own secret", address="127.0.0.1")
        caller = house.doorkeeper.of_session(token)
        assert caller is not None
        view = View(
            appliance=house.appliance, doorkeeper=house.doorkeeper, caller=caller, request=asked({SESSION_KEY: token})
        )
        timer = view.every(2.0, view.look_again)
        happens(view, token)
        await view.look_again()
        assert sent_to() == goes_to
        assert timer.active is not bool(goes_to)
        if goes_to:
            with pytest.raises(NotAllowed, match="the session has ended"):
                await view.ask(access.audit)
        else:
            assert await view.ask(access.audit)

    run(test, tmp_path, monkeypatch)


def test_what_was_done_is_seen_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = ["nobody"]

    async def test(view: View) -> None:
        monkeypatch.setattr(view, "every", lambda _interval_s, _callback: None)  # the clock comes too late
        await view.live_part(60.0, lambda: known[0], show)
        assert "nobody" in words()
        known[0] = "ada"
        view.look_now()
        for _ in range(200):
            if "ada" in words():
                break
            await asyncio.sleep(0.01)
        assert "ada" in words()

    run(test, tmp_path, monkeypatch)
