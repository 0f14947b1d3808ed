"""Login, logout and the change of a password: plain forms, which work before any script has loaded."""

from __future__ import annotations

import secrets
import uuid
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from html import escape
from urllib.parse import parse_qsl, quote

from nicegui import app, run
from nicegui import ui as ng
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.origin import is_cross_site
from appliance.errors import BadInput, NotAllowed
from appliance.house import Appliance
from ui.components.markup import box, text
from ui.components.status import notice
from ui.page import SESSION_KEY, log_error
from ui.shell import MARK, NAME, Shell
from ui.texts import _

_MESSAGES = {
    "ended": _("You are logged out."),
    "changed": _("The new password is set. Other sessions of this user were ended."),
}
_MOST_FORM_BYTES = 16 << 10
_KEPT = 200
"""Refusals that can still be shown; whoever comes later to one is told less."""


class Gate:
    """The pages that are open to everybody, and the forms behind them."""

    def __init__(self, *, appliance: Appliance, doorkeeper: Doorkeeper, shell: Shell) -> None:
        self._appliance = appliance
        self._doorkeeper = doorkeeper
        self._shell = shell
        self._refused: OrderedDict[str, str] = OrderedDict()

    def open(self) -> None:
        """Serve them."""
        ng.page("/login")(self._login_page())
        ng.page("/password")(self._password_page())
        app.add_route("/login", self.login, methods=["POST"])
        app.add_route("/logout", self.logout, methods=["POST"])
        app.add_route("/password", self.change_password, methods=["POST"])

    async def login(self, request: Request) -> Response:
        """Check name and password and open a session under a new id."""
        if is_cross_site(request.headers):
            return self._back("/login", _another_site())
        target = "/"
        try:
            form = await _read_form(request)
            target = local(form.get("next", "/"))
            token = await run.io_bound(
                self._doorkeeper.login, form.get("name", "").strip(), form.get("password", ""),
                address=_address(request),
            )  # fmt: skip
        except Exception as exc:  # noqa: BLE001  (the border of a form: the log has the stack)
            return self._back("/login", exc, target)
        # A new id: one that was planted before the login must be worth nothing after it.
        request.session.clear()
        request.session.update({"id": str(uuid.uuid4()), SESSION_KEY: token})
        return RedirectResponse(target, status_code=303)

    async def logout(self, request: Request) -> Response:
        """Close the session."""
        if not is_cross_site(request.headers):
            await run.io_bound(self._doorkeeper.logout, request.session.get(SESSION_KEY))
            request.session.clear()
            request.session["id"] = str(uuid.uuid4())
        return RedirectResponse("/login?said=ended", status_code=303)

    async def change_password(self, request: Request) -> Response:
        """Replace one's own password."""
        if is_cross_site(request.headers):
            return self._back("/password", _another_site())
        target = "/"
        try:
            form = await _read_form(request)
            target = local(form.get("next", "/"))
            if form.get("new") != form.get("again"):
                raise BadInput(_("The two new passwords differ; type the new one twice."))
            await run.io_bound(
                self._doorkeeper.change_password, request.session.get(SESSION_KEY), form.get("old", ""),
                form.get("new", ""), address=_address(request),
            )  # fmt: skip
        except Exception as exc:  # noqa: BLE001  (as above)
            return self._back("/password", exc, target)
        return RedirectResponse(target, status_code=303)

    def _back(self, path: str, error: Exception, target: str = "/") -> Response:
        """To the form, with what was refused under a number: a text in the address could come from anybody."""
        code = secrets.token_hex(8)
        self._refused[code] = log_error(error, path)
        if len(self._refused) > _KEPT:
            self._refused.popitem(last=False)
        return RedirectResponse(f"{path}?wrong={code}&next={quote(target)}", status_code=303)

    def _said(self, request: Request) -> None:
        if code := request.query_params.get("wrong"):
            notice(self._refused.get(code, _("That was refused; try again.")), tone="alarm")
        elif (said := request.query_params.get("said")) in _MESSAGES:
            notice(_MESSAGES[str(said)])

    def _login_page(self) -> Callable[[Request], Awaitable[None]]:
        where = self._appliance.settings.layout.admin_password

        async def page(request: Request) -> None:
            self._shell.dress(_("Log in"))
            first = await run.io_bound(where.exists)
            with _gate(_("Log in")):
                self._said(request)
                if first:
                    notice(
                        _(
                            "First visit? The user is admin; the one-time password lies in the file {where} on this "
                            "host."
                        ).format(where=where),
                        title=_("A one-time password is waiting"),
                    )
                target = escape(local(request.query_params.get("next", "/")))
                _form(
                    "/login",
                    (
                        ("name", _("User name"), "text", "username"),
                        ("password", _("Password"), "password", "current-password"),
                    ),
                    _("Log in"),
                    hidden=f'<input type="hidden" name="next" value="{target}">',
                )

        return page

    def _password_page(self) -> Callable[[Request], Awaitable[Response | None]]:
        async def page(request: Request) -> Response | None:
            caller = await run.io_bound(self._doorkeeper.of_session, request.session.get(SESSION_KEY))
            if caller is None:
                return RedirectResponse("/login?next=/password", status_code=303)
            self._shell.dress(_("Password"))
            target = escape(local(request.query_params.get("next", "/")))
            with _gate(_("Set your own password")):
                self._said(request)
                if caller.must_change:
                    text(
                        _("The password you logged in with was for one use. Choose your own; then everything opens."),
                        "muted",
                        "p",
                    )
                else:
                    text(_("Every other session of your user ends with the change."), "muted", "p")
                _form(
                    "/password",
                    (
                        ("old", _("Present password"), "password", "current-password"),
                        ("new", _("New password"), "password", "new-password"),
                        ("again", _("New password again"), "password", "new-password"),
                    ),
                    _("Set password"),
                    hidden=f'<input type="hidden" name="name" value="{escape(caller.name)}" autocomplete="username">'
                    f'<input type="hidden" name="next" value="{target}">',
                )
            return None

        return page


def _gate(title: str) -> ng.element:
    with box("gate", "main"):
        surface = box("panel")
        with surface:
            ng.html(f"{MARK}<span>{NAME}</span>", sanitize=False).classes("brand")
            text(title, tag="h1")
    return surface


async def _read_form(request: Request) -> dict[str, str]:
    """The fields of a form that anybody may send: nothing of it is written to disk, and little of it is held.

    Raises:
        BadInput: It is longer than names and passwords are, or no plain form.
    """
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        raise BadInput(_("This form is sent as application/x-www-form-urlencoded."))
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _MOST_FORM_BYTES:
            raise BadInput(_("What was sent is too long for a name and a password; nothing was done."))
    try:
        return dict(parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=20))
    except ValueError as exc:
        raise BadInput(_("The form could not be read; nothing was done.")) from exc


def _another_site() -> NotAllowed:
    return NotAllowed(_("A page of another site sent this form; nothing was done."))


def _form(action: str, fields: tuple[tuple[str, str, str, str], ...], submit: str, *, hidden: str = "") -> None:
    inputs = "".join(
        f'<div class="field"><label for="{name}">{escape(label)}</label>'
        f'<input id="{name}" name="{name}" type="{kind}" autocomplete="{auto}" required '
        f"{'autofocus' if i == 0 else ''}></div>"
        for i, (name, label, kind, auto) in enumerate(fields)
    )
    ng.html(
        f'<form method="post" action="{action}">{hidden}{inputs}'
        f'<button class="submit" type="submit">{escape(submit)}</button></form>',
        sanitize=False,
    ).style("width: 100%")


def local(target: str) -> str:
    """An address within the dashboard; anything that could lead elsewhere becomes the first page."""
    safe = target.startswith("/") and not target.startswith(("//", "/\\")) and "\\" not in target
    return target if safe else "/"


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"
