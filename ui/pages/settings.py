"""Settings: one's password; and for admins keys, users, what is kept and limited, and the backups."""

from __future__ import annotations

from nicegui import ui as ng

from appliance.access import Role, User, one_time_password
from appliance.keys import Scope
from appliance.permissions import Action
from storage.key_rows import KeyRow
from ui.components.facts import facts
from ui.components.form import button, cancel_button, choice, dialog, tabs, text_field
from ui.components.markup import box, button_link, link, panel, text
from ui.components.snippet import snippet
from ui.components.status import notice, status_of
from ui.components.table import Cell, Column, Row, Table
from ui.guests import open_at
from ui.page import Page, View, tell
from ui.pages.settings_upkeep import show_backups, show_limits, show_retention
from ui.texts import _, pgettext
from ui.words import when

_TABS = (
    ("keys", _("Keys")), ("users", _("Users")), ("notifications", _("Notifications")), ("retention", _("Retention")),
    ("limits", _("Limits")), ("backup", _("Backup")), ("audit", _("Audit")), ("about", _("This appliance")),
)  # fmt: skip
_ELSEWHERE = {"notifications": "/alerts?tab=channels", "audit": "/audit"}
"""What has a page of its own, which the tab leads to."""
_SCOPES = {
    Scope.PREDICT: _("predict: ask models"), Scope.LABEL: _("label: send labels"),
    Scope.READ: _("read: metrics, and reading the control API"), Scope.ADMIN: _("admin: everything"),
}  # fmt: skip
_ROLES = {
    Role.VIEWER: _("viewer: looks"), Role.OPERATOR: _("operator: adds data, trains, deploys"),
    Role.ADMIN: _("admin: users and keys too"),
}  # fmt: skip

_SAME = {
    "users": (
        "appliance user add NAME --role operator; appliance user passwd NAME --generate",
        "GET /api/users; POST /api/users; POST /api/users/NAME/password",
    ),
    "retention": ("appliance retention --dry-run", "GET /api/upkeep"),
    "limits": ("appliance doctor", "GET /api/health"),
    "backup": ("appliance backup list; appliance backup create", "GET /api/upkeep; POST /api/backups"),
    "about": ("appliance status; appliance doctor", "GET /api/health"),
}


async def build(view: View) -> None:
    """Fill the page."""
    if view.actions is not None:
        with view.actions:
            button_link(_("Change my password"), "/password", icon_name="password")
    if not view.may(Action.ADMINISTER):
        notice(_("Keys, users and the audit are shown to admins."))
        _about(view)
        return
    tab = view.query.get("tab", "keys")
    view.same = _SAME.get(tab)
    tabs(_TABS, tab, lambda key: _ELSEWHERE.get(key, f"/settings?tab={key}"))
    if tab == "users":
        await _Users(view).build()
    elif tab in _ELSEWHERE:
        ng.navigate.to(_ELSEWHERE[tab])  # an address that was kept from before it had a page
    elif tab == "retention":
        await show_retention(view)
    elif tab == "limits":
        show_limits(view)
    elif tab == "backup":
        await show_backups(view)
    elif tab == "about":
        _about(view)
    else:
        await _Keys(view).build()


class _Keys:
    def __init__(self, view: View) -> None:
        self._view = view

    async def build(self) -> None:
        with panel(_("New key"), _("its text is shown once, here, and kept nowhere")):
            name = text_field(_("What it is for"), hint=_("a-z, A-Z, 0-9, and . _ @ -; shown in the audit"))
            with box("line"):
                text(_("May:"), "muted")
                boxes = {scope: ng.checkbox(label, value=scope is Scope.PREDICT) for scope, label in _SCOPES.items()}

            async def create() -> None:
                scope = ",".join(one.value for one, ticked in boxes.items() if ticked.value)
                access = self._view.appliance.access
                made = await self._view.act(
                    Action.ADMINISTER, access.create_key, (name.value or "").strip(), scope, who=self._view.caller.name
                )
                if made:
                    shown.clear()
                    with shown:
                        notice(
                            _("Copy it now: it cannot be shown again."),
                            tone="warn",
                            title=_("The key {name}").format(name=made.name),
                        )
                        snippet(made.key)
                    name.value = ""
                    self._view.look_now()

            button(_("Create the key"), create, kind="primary", icon_name="key")
            shown = box("stack")
        await self._view.live(5.0, self._view.appliance.access.list_keys, self._show)

    def _show(self, keys: tuple[KeyRow, ...]) -> None:
        columns = (
            Column(name="name", label=_("Key")),
            Column(name="scope", label=_("May")),
            Column(name="hint", label=_("Begins with")),
            Column(name="state", label=_("State")),
            Column(name="made", label=_("Made")),
            Column(name="by", label=_("By")),
            Column(name="act", label="", sortable=False),
        )

        with panel(_("Keys"), tight=True):
            if keys:
                Table(columns, [_key(one) for one in keys], per_page=20 if len(keys) > 20 else 0,
                      search=_("Search keys"), name="keys", on_action=self._ask_revoke)  # fmt: skip
            else:
                text(_("No key yet. Programs that ask a model need one."), "muted").style("padding: 16px 20px")

    async def _ask_revoke(self, name: str, _action: str) -> None:
        with dialog(_("Revoke the key {name}").format(name=name)) as window:
            text(_("Programs that use it are refused from then on. A revoked key cannot be had back."), "muted")

            async def go() -> None:
                def revoke() -> bool:
                    self._view.appliance.access.revoke_key(name, who=self._view.caller.name)
                    return True

                if await self._view.act(Action.ADMINISTER, revoke):
                    window.close()
                    tell(_("The key {name} opens nothing any more").format(name=name))
                    self._view.look_now()

            with box("line"):
                button(_("Revoke the key"), go, kind="danger", icon_name="block")
                cancel_button(window)
        window.open()


def _key(one: KeyRow) -> Row:
    good = one.revoked_at is None
    cells = {
        "name": Cell(text=one.name),
        "scope": Cell(text=one.scope),
        "hint": Cell(text=f"{one.hint}…"),
        "state": Cell(status=status_of("active" if good else "revoked")),
        "made": Cell(text=when(one.created_at), sort=one.created_at.timestamp()),
        "by": Cell(text=one.created_by),
        "act": Cell(text=_("Revoke"), action="revoke", danger=True) if good else Cell(),
    }
    return Row(id=one.name, cells=cells)


class _Users:
    def __init__(self, view: View) -> None:
        self._view = view

    async def build(self) -> None:
        with panel(_("New user"), _("gets a password for one use, which is shown once, here")):
            with box("cols"):
                name = text_field(_("Name"), hint=_("a-z, A-Z, 0-9, and . _ @ -"))
                role = choice(_("Role"), {one.value: label for one, label in _ROLES.items()}, Role.VIEWER.value)

            async def create() -> None:
                password = one_time_password()
                access = self._view.appliance.access
                made = await self._view.act(
                    Action.ADMINISTER, access.create_user, (name.value or "").strip(), str(role.value), password,
                    who=self._view.caller.name,
                )  # fmt: skip
                if made:
                    shown.clear()
                    with shown:
                        _tell_password(made.name, password)
                    name.value = ""
                    self._view.look_now()

            button(_("Add the user"), create, kind="primary", icon_name="person_add")
            shown = box("stack")
        await self._view.live(5.0, self._view.appliance.access.list_users, self._show)

    def _show(self, users: tuple[User, ...]) -> None:
        columns = (
            Column(name="name", label=_("User")), Column(name="role", label=_("Role")),
            Column(name="password", label=_("Password")),
            Column(name="made", label=_("Added")), Column(name="change", label="", sortable=False),
            Column(name="renew", label="", sortable=False), Column(name="remove", label="", sortable=False),
        )  # fmt: skip

        roles = {one.name: one.role for one in users}

        async def act(name: str, action: str) -> None:
            if action == "role":
                await self._ask_role(name, roles[name])
            else:
                await (self._ask_password(name) if action == "password" else self._ask_remove(name))

        with panel(_("Users"), tight=True):
            Table(columns, [_user(one, own=one.name == self._view.caller.name) for one in users],
                  search=_("Search users"), name="users", on_action=act)  # fmt: skip

    async def _ask_role(self, name: str, present: Role) -> None:
        with dialog(_("Role of {name}").format(name=name)) as window:
            role = choice(_("Role"), {one.value: label for one, label in _ROLES.items()}, present.value)

            async def go() -> None:
                access = self._view.appliance.access
                await self._view.act(
                    Action.ADMINISTER, access.set_role, name, str(role.value), who=self._view.caller.name
                )
                window.close()
                self._view.look_now()

            with box("line"):
                button(_("Change the role"), go, kind="primary")
                cancel_button(window)
        window.open()

    async def _ask_password(self, name: str) -> None:
        with dialog(_("New password for {name}").format(name=name)) as window:
            place = box("stack")

            async def go() -> None:
                give = self._view.doorkeeper.give_password
                given = await self._view.act(Action.ADMINISTER, give, name, who=self._view.caller.name)
                if given:
                    place.clear()
                    with place:
                        _tell_password(name, given)
                        ng.button(_("Close"), on_click=window.close, color=None).props("flat no-caps").classes(
                            "btn-plain"
                        )
                    self._view.look_now()

            with place:
                text(
                    _("The user gets a password for one use, which is shown once, here. The present one opens nothing "
                      "from then on, and where the user is logged in ends."), "muted",
                )  # fmt: skip
                with box("line"):
                    button(_("Give a new password"), go, kind="primary", icon_name="password")
                    cancel_button(window)
        window.open()

    async def _ask_remove(self, name: str) -> None:
        with dialog(_("Remove {name}").format(name=name)) as window:
            text(_("Type the name to remove the user. What the user did stays in the audit."), "muted")
            typed = text_field(_("Name"))

            async def go() -> None:
                if typed.value != name:
                    tell(_("The name differs; nothing was done"), wrong=True)
                    return
                remove = self._view.doorkeeper.remove_user
                await self._view.act(Action.ADMINISTER, remove, name, who=self._view.caller.name)
                window.close()
                self._view.look_now()

            with box("line"):
                button(_("Remove the user"), go, kind="danger")
                cancel_button(window)
        window.open()


def _tell_password(name: str, password: str) -> None:
    notice(_("It opens only the page that replaces it."), tone="warn", title=_("Password of {name}").format(name=name))
    snippet(password)


def _user(one: User, *, own: bool) -> Row:
    cells = {
        "name": Cell(text=_("{name} (you)").format(name=one.name) if own else one.name),
        "role": Cell(text=one.role.value),
        "password": Cell(text=_("given out, not replaced yet") if one.must_change else _("own")),
        "made": Cell(text=when(one.created_at), sort=one.created_at.timestamp()),
        "change": Cell() if own else Cell(text=_("Change role"), action="role"),
        "renew": Cell() if own else Cell(text=_("New password"), action="password"),
        "remove": Cell() if own else Cell(text=_("Remove"), action="remove", danger=True),
    }
    return Row(id=one.name, cells=cells)


def _about(view: View) -> None:
    settings = view.appliance.settings
    with panel(_("This appliance")):
        link(_("Check of the host"), "/doctor")
        facts(
            (
                (
                    _("Inference API"),
                    _("{address}, its documentation at {address}/docs").format(address=view.addresses.api),
                ),
                (
                    _("Control API"),
                    _("{address}/api, its description at {address}/api/schema").format(address=view.addresses.control),
                ),
                ("MLflow", _guest("mlflow", settings.mlflow_port, settings.ui_mlflow_port)),
                ("Prefect", _guest("prefect", settings.orchestrator_port, settings.ui_prefect_port)),
                (pgettext("directory", "State"), str(settings.state)),
                (_("You"), f"{view.caller.name}, {view.caller.role.value}"),
            )
        )


def _guest(name: str, inner: int, outer: int) -> str:
    alone = _("{address} on this host alone, without a login").format(address=f"http://127.0.0.1:{inner}")
    if not outer:
        return alone
    behind = _("port {port} behind this login, {address}").format(port=outer, address=open_at(name))
    return f"{behind}; {alone}"


PAGE = Page(
    path="/settings", section="settings", title=_("Settings"), build=build,
    cli="appliance key create NAME --scope predict",
    rest="GET /api/keys",
)  # fmt: skip
