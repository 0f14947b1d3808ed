"""key, user, audit."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from appliance.access import one_time_password
from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, print_json, print_table, show_time
from appliance.errors import BadInput

PasswordFile = Annotated[Path | None, Parameter(allow_leading_hyphen=True)]

key = App(name="key", help="API keys: make, list, revoke.")
user = App(name="user", help="Users of the dashboard: add, change a password, list.")
audit = App(name="audit", help="Who did what; 'audit verify' checks that nothing was changed afterwards.")


@key.command(name="create")
def create_key(name: str, *, scope: str, json: Json = False) -> None:
    """Make an API key and print it: the one time that it is seen.

    Args:
        name: What it is for.
        scope: predict, label, read or admin, or some of them joined by commas.
    """
    new = open_house().access.create_key(name, scope, who=caller())
    if json:
        print_json(new)
    else:
        print(new.key)


@key.command(name="list")
def list_keys(*, json: Json = False) -> None:
    """Every key, without its text."""
    keys = open_house().access.list_keys()
    if json:
        print_json({"keys": keys})
        return
    print_table(
        ("key", "scope", "begins with", "made", "by", "revoked"),
        [
            (
                k.name, k.scope, k.hint, show_time(k.created_at), k.created_by,
                show_time(k.revoked_at) if k.revoked_at else "",
            )
            for k in keys
        ],
    )  # fmt: skip


@key.command(name="revoke")
def revoke_key(name: str) -> None:
    """Make a key open nothing from now on."""
    open_house().access.revoke_key(name, who=caller())
    print(f"the key {name} is revoked")


@user.command(name="add")
def add_user(name: str, *, role: str, password_file: PasswordFile = None, generate: Flag = False) -> None:
    """Add a user, who must change this password at the first login.

    Args:
        name: The login.
        role: viewer, operator or admin.
        password_file: Read the password from the first line of this file; '-' is standard input.
        generate: Make one up and print it.
    """
    access = open_house().access
    password = _take_password(password_file, generate=generate)
    access.create_user(name, role, password, who=caller())
    print(password if generate else f"user {name} is added")


@user.command
def passwd(name: str, *, password_file: PasswordFile = None, generate: Flag = False) -> None:
    """Change a user's password.

    Args:
        name: The login.
        password_file: Read the password from the first line of this file; '-' is standard input.
        generate: Make one up and print it.
    """
    access = open_house().access
    password = _take_password(password_file, generate=generate)
    access.set_password(name, password, who=caller())
    print(password if generate else f"the password of {name} is changed")


@user.command(name="list")
def list_users(*, json: Json = False) -> None:
    """Every user."""
    users = open_house().access.list_users()
    if json:
        print_json({"users": users})
        return
    print_table(
        ("user", "role", "must change password", "added"),
        [(u.name, u.role, "yes" if u.must_change else "", show_time(u.created_at)) for u in users],
    )


@audit.default
def show_audit(*, limit: int = 50, json: Json = False) -> None:
    """The newest entries, newest first."""
    rows = open_house().access.audit(limit)
    entries = [{"id": row.id, "chain": row.chain.hex(), **_entry(row.entry)} for row in rows]
    if json:
        print_json({"audit": entries})
        return
    print_table(
        ("at", "who", "did", "to", "detail"),
        [(show_time(r.entry.at), r.entry.who, r.entry.action, r.entry.subject, r.entry.detail) for r in rows],
    )


@audit.command
def verify(*, json: Json = False) -> int:
    """Check the chain over every entry; exit code 1 when one was changed or removed."""
    proof = open_house().access.verify()
    if json:
        print_json({"ok": proof.broken_at is None, "rows": proof.rows, "broken_at": proof.broken_at})
    elif proof.broken_at is None:
        print(f"whole: {proof.rows} entries")
    else:
        print(f"BROKEN at entry {proof.broken_at}: it, or one before it, was changed or removed after it was written")
    return 0 if proof.broken_at is None else 1


def _entry(entry: object) -> dict[str, object]:
    return {name: getattr(entry, name) for name in ("at", "who", "action", "subject", "detail")}


def _take_password(file: Path | None, *, generate: bool) -> str:
    if generate:
        return one_time_password()
    if file is not None:
        try:
            text = sys.stdin.readline() if str(file) == "-" else file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as exc:
            raise BadInput(f"cannot read the password file {file}: {exc}") from exc
        return text.splitlines()[0] if text.strip() else ""
    if not sys.stdin.isatty():
        raise BadInput("no terminal to ask for the password; use --password-file FILE (or '-'), or --generate")
    first, second = getpass.getpass("password: "), getpass.getpass("once more: ")
    if first != second:
        raise BadInput("the two passwords differ")
    return first
