"""What a page is and what it is given: its address, who looks at it, and safe ways to ask the appliance."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, ParamSpec, TypeVar, cast
from urllib.parse import quote

from nicegui import app, background_tasks, run
from nicegui import ui as ng
from nicegui.element import Element
from starlette.requests import Request

from appliance.api.control.doorkeeper import Doorkeeper
from appliance.errors import ApplianceError, NotAllowed
from appliance.house import Appliance
from appliance.permissions import Action, Caller, is_allowed, require
from storage.errors import StorageError
from ui.addresses import addresses_for
from ui.clicks import in_clicks
from ui.components.markup import box
from ui.components.status import notice, waiting_line
from ui.redraw import redraw
from ui.texts import _
from ui.words import when

P = ParamSpec("P")
T = TypeVar("T")

SESSION_KEY = "login"
"""Where the browser's signed cookie keeps the session's token."""

LOOK_AGAIN_S = 30.0
"""What is left open, a page or a guest's websocket, ends this long after its session at the latest."""

_LOG = logging.getLogger("appliance.ui")


class View:
    """One open page of one browser tab."""

    def __init__(self, *, appliance: Appliance, doorkeeper: Doorkeeper, caller: Caller, request: Request) -> None:
        self.appliance = appliance
        self.caller = caller
        self.doorkeeper = doorkeeper
        self._token: str | None = request.session.get(SESSION_KEY)
        self._timers: list[ng.timer] = []
        self._parts: list[Callable[[], Coroutine[None, None, None]]] = []
        self._closed = False
        self._here = address_of(request)
        self.parts: dict[str, str] = {key: str(value) for key, value in request.path_params.items()}
        self.actions: Element | None = None
        self.query: dict[str, str] = dict(request.query_params)
        self.addresses = addresses_for(request, appliance.settings)
        """Where the browser of this tab finds the APIs."""
        self.same: tuple[str, str] | None = None
        """Command and REST call of the part that is shown, where a page has several."""
        self.kept: dict[str, int] = {}
        """What somebody set on this page, such as a slider's place, for parts that are drawn anew."""

    def may(self, action: Action) -> bool:
        """Whether to offer something; whether it is done is decided again by ``act``."""
        return is_allowed(self.caller, action)

    def whole(self, name: str) -> int | None:
        """A whole number of the address; None where it has none, or something else."""
        value = self.query.get(name, "")
        return int(value) if value.isascii() and value.isdigit() and len(value) < 10 else None

    def remembered(self, name: str, usual: str) -> str:
        """A choice of the address, which is kept for the pages that come; else what was kept; else the usual."""
        chosen = self.query.get(name)
        if chosen:
            app.storage.user[name] = chosen
            return chosen
        return str(app.storage.user.get(name, usual))

    async def ask(self, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call the appliance off the event loop; its errors come through.

        Raises:
            NotAllowed: The page was closed.
        """
        if self._closed:
            raise NotAllowed(_("the session has ended; log in again"))
        return cast("T", await run.io_bound(fn, *args, **kwargs))  # None only while the process shuts down

    async def act(self, action: Action, fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """Do something for the caller, who is looked up anew; an error is shown, and the answer is None."""
        try:
            caller = await run.io_bound(self.doorkeeper.of_session, self._token)
            if caller is None:
                raise NotAllowed(_("the session has ended; log in again"))
            require(caller, action)
            return await run.io_bound(fn, *args, **kwargs)
        except (ApplianceError, StorageError) as exc:
            tell(log_refused(exc), wrong=True)
        except Exception:  # noqa: BLE001  (the border: whatever happened, the page stays usable)
            tell(log_unexpected(f"{action} through {getattr(fn, '__qualname__', fn)}"), wrong=True)
        return None

    async def live(self, interval_s: float, fetch: Callable[[], T], render: Callable[[T], None]) -> None:
        """Show what ``fetch`` returns, and draw it again whenever it changed; pauses while the tab is hidden."""
        await self.live_part(interval_s, fetch, render)

    def live_part(
        self, interval_s: float, fetch: Callable[[], T], render: Callable[[T], None]
    ) -> Coroutine[None, None, None]:
        """The same for a part that stands here and is filled by who awaits the answer, together with others.

        What somebody does in the part meanwhile stays, see ``ui.redraw``; so does what is shown when ``fetch`` fails.
        """
        with box("stack"):
            trouble, place = Trouble(), box("stack")
        shown: list[Any] = []
        turn = asyncio.Lock()  # else what was asked for before something was done is drawn after it

        async def refresh() -> None:
            async with turn:
                try:
                    value: Any = await run.io_bound(fetch)
                    if app.is_stopping or place.is_deleted:
                        return  # run.io_bound answers None while the process shuts down
                    if not shown or shown[0] != value:
                        redraw(place, lambda: render(value))
                        shown[:] = [value]
                    trouble.end()
                except Exception as exc:  # noqa: BLE001  (the border of a part: the others stay, the log has the stack)
                    trouble.say(exc)

        self.every(interval_s, refresh)
        self._parts.append(refresh)
        return refresh()

    def look_now(self) -> None:
        """Bring the live parts up to date at once, since something was done: the last that a handler calls."""
        for refresh in self._parts:
            background_tasks.create(refresh())

    def later(self, waiting: str, fetch: Callable[[], T], render: Callable[[T], None]) -> None:
        """Show the page at once and fill this part when ``fetch``, which may take seconds, has answered."""
        place = box("stack")
        with place:
            waiting_line(waiting)

        async def fill() -> None:
            try:
                value = await run.io_bound(fetch)
                if app.is_stopping or place.is_deleted:
                    return  # as above
                redraw(place, lambda: render(cast("T", value)))
            except Exception as exc:  # noqa: BLE001  (as above)
                message = log_error(exc, waiting)
                redraw(place, lambda: notice(message, tone="alarm", title=_("This cannot be shown")))

        ng.timer(0.05, fill, once=True)

    def every(self, interval_s: float, callback: Callable[[], Awaitable[None]]) -> ng.timer:
        """Call back regularly, not more often than every 2 s and not while the tab is hidden."""
        timer = ng.timer(max(interval_s, 2.0), callback, immediate=False)
        self._timers.append(timer)
        return timer

    def end(self, timer: ng.timer) -> None:
        """Call back no more, not even when a hidden tab is seen again."""
        if timer in self._timers:
            self._timers.remove(timer)
        timer.deactivate()
        timer.cancel()

    def pause(self, *, hidden: bool) -> None:
        """Stop the timers of a hidden tab, and start them again."""
        for timer in self._timers:
            timer.active = not hidden

    def watch_session(self) -> None:
        """Close the page once its session has ended; a hidden tab's, too, so that it does not wait to be seen."""
        ng.timer(LOOK_AGAIN_S, self.look_again, immediate=False)

    async def look_again(self) -> None:
        """Look the caller up anew: one who may no longer see all that this page was drawn for is sent where one may.

        Whoever has no session any more goes to the login, and comes back here after it; for a one-time password it is
        the page that replaces it; for a lesser role the page is drawn anew, for what that role may see.
        """
        try:
            caller: Caller | None = await run.io_bound(self.doorkeeper.of_session, self._token)
        except (ApplianceError, StorageError):
            return  # what is shown says what is wrong, and the next look may know
        if self._closed or app.is_stopping:
            return  # run.io_bound answers None while the process shuts down
        elsewhere = way_in(caller, self._here)
        if caller and not elsewhere and caller.role.includes(self.caller.role):
            return
        self._close()
        ng.navigate.to(elsewhere or self._here)

    def _close(self) -> None:
        """Ask for nothing any more, whatever the browser makes of the address it is sent to."""
        self._closed = True
        self._parts.clear()
        for timer in list(self._timers):
            self.end(timer)


class Trouble:
    """Stands above a part and says what keeps it from being shown, or from being brought up to date; else nothing.

    Each trouble is logged once, however often it is met in a row.
    """

    def __init__(self) -> None:
        self._place = box("stack")
        self._place.set_visibility(False)
        self._met = ""
        self._last: datetime | None = None

    def end(self) -> None:
        """The part is up to date."""
        self._last = datetime.now(UTC)
        if self._met:
            self._met = ""
            self._place.set_visibility(False)

    def say(self, error: Exception) -> None:
        """Say what happened, with the id under which the log has it."""
        met = f"{type(error).__name__}: {error}"
        if self._place.is_deleted or met == self._met:
            return
        self._met = met
        message = log_error(error, "live_part")
        title = (
            _("What stands below is of {when} and is not brought up to date").format(when=when(self._last))
            if self._last
            else _("This cannot be shown")
        )
        redraw(self._place, lambda: notice(message, tone="alarm", title=title))
        self._place.set_visibility(True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One address of the dashboard.

    Attributes:
        path: With ``{placeholders}``, whose values are ``view.parts``.
        section: The entry of the navigation that is lit.
        title: May hold the same placeholders.
        build: Fills the page.
        parents: ``(label, address)`` of the pages above, with placeholders.
        cli: The command that does or shows the same.
        rest: The call of the control API that does.
    """

    path: str
    section: str
    title: str
    build: Callable[[View], Awaitable[None]]
    lead: str = ""
    parents: tuple[tuple[str, str], ...] = ()
    cli: str = ""
    rest: str = ""
    action: Action = Action.LOOK


def address_of(request: Request) -> str:
    """Path and query of a page, as its links have them."""
    return request.url.path + (f"?{request.url.query}" if request.url.query else "")


def way_in(caller: Caller | None, here: str) -> str | None:
    """Where somebody has to go before a page opens: the login or one's password, which lead back; else None."""
    if caller is None:
        return f"/login?next={quote(here)}"
    if caller.must_change:
        return "/password" if here == "/" else f"/password?next={quote(here)}"
    return None


def tell(message: str, *, wrong: bool = False) -> None:
    """A message that floats in and stays long enough to be read."""
    ng.notify(
        message,
        type="negative" if wrong else "positive",
        position="bottom",
        timeout=12_000 if wrong else 4_000,
        close_button=_("Close"),
        multi_line=True,
    )


def log_error(error: Exception, what: str) -> str:
    """Log the error being handled, refused or unexpected, and return what to tell, with its id."""
    return log_refused(error) if isinstance(error, ApplianceError | StorageError) else log_unexpected(what)


def log_refused(error: Exception) -> str:
    """Log what the appliance would not do, and return what to tell: its sentence, and the id the log has it under."""
    error_id = uuid.uuid4().hex[:8]
    _LOG.warning("dashboard error %s: %s: %s", error_id, type(error).__name__, error, extra={"request": error_id})
    return _("{error} (error {error_id})").format(error=in_clicks(str(error)), error_id=error_id)


def log_unexpected(what: str) -> str:
    """Log the exception being handled and return what to tell, with the id under which the log has it."""
    error_id = uuid.uuid4().hex[:8]
    _LOG.exception("dashboard error %s: %s", error_id, what, extra={"request": error_id})
    return _(
        "Something went wrong that the dashboard did not expect (error {error_id}). "
        "`appliance logs --request {error_id}` has the details."
    ).format(error_id=error_id)
