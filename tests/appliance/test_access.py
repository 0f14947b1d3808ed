from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.access import Access, Role, User
from appliance.errors import BadInput, Conflict, NotAllowed, NotFound
from appliance.house import prepare_state
from appliance.keys import KeyInfo, Scope
from appliance.permissions import Action, Caller, require
from appliance.settings import Settings
from storage import statedb

PASSWORD = "correct horse"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = Settings(state=tmp_path / "state")
    prepare_state(made)
    return made


@pytest.fixture
def access(settings: Settings) -> Access:
    return Access(settings)


def test_the_first_admin_logs_in_once_with_the_password_from_the_file(settings: Settings, access: Access) -> None:
    file = settings.layout.admin_password
    assert file.stat().st_mode & 0o777 == 0o600
    user = access.login("admin", file.read_text().strip())
    assert (user.role, user.must_change) == (Role.ADMIN, True)
    assert not access.create_first_admin()
    access.set_password("admin", PASSWORD, who="admin")
    assert not file.exists()
    assert not access.login("admin", PASSWORD).must_change
    prepare_state(settings)
    assert not file.exists()


def test_a_lost_first_password_is_not_made_again_while_there_is_a_user(settings: Settings, access: Access) -> None:
    settings.layout.admin_password.unlink()
    assert not access.create_first_admin()


@pytest.mark.parametrize(
    ("name", "password"), [("admin", "wrong password"), ("nobody", PASSWORD), ("", ""), ("admin", "")]
)
def test_a_refused_login_does_not_say_why(access: Access, name: str, password: str) -> None:
    with pytest.raises(NotAllowed, match=r"^the name or the password is wrong$"):
        access.login(name, password)


def test_passwords_are_kept_as_argon2_hashes(settings: Settings, access: Access) -> None:
    access.create_user("ann", "viewer", PASSWORD, who="admin")
    assert PASSWORD.encode() not in b"".join(path.read_bytes() for path in settings.state.glob("appliance.db*"))
    connection = statedb.connect(settings.layout.database, read_only=True)
    (kept,) = connection.execute("SELECT password_hash FROM users WHERE name = 'ann'").fetchone()
    connection.close()
    assert kept.startswith("$argon2id$")


def test_a_password_from_somebody_else_must_be_changed(access: Access) -> None:
    made = access.create_user("ann", "operator", PASSWORD, who="admin")
    assert made == access.find_user("ann") == access.login("ann", PASSWORD)
    assert made.must_change
    access.set_password("ann", "my own secret", who="ann")
    assert not access.login("ann", "my own secret").must_change
    access.set_password("ann", "given again!", who="admin")
    assert access.login("ann", "given again!").must_change
    with pytest.raises(NotAllowed):
        access.login("ann", "my own secret")


@pytest.mark.parametrize(
    ("name", "role", "password", "message"),
    [
        ("ann", "king", PASSWORD, r"'king' is no role: use viewer, operator, admin"),
        ("ann", "viewer", "short", r"a password needs 10 characters or more"),
        ("an n", "viewer", PASSWORD, r"'an n' cannot be a user's name"),
        ("", "viewer", PASSWORD, r"'' cannot be a user's name"),
    ],
)
def test_a_user_that_cannot_be_is_refused(access: Access, name: str, role: str, password: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        access.create_user(name, role, password, who="admin")


def test_users_that_are_there_already_or_not_at_all(access: Access) -> None:
    with pytest.raises(Conflict, match=r"there is a user 'admin' already"):
        access.create_user("admin", "viewer", PASSWORD, who="admin")
    changes: list[Callable[[], None]] = [
        lambda: access.set_password("bob", PASSWORD, who="bob"),
        lambda: access.set_role("bob", "viewer", who="admin"),
        lambda: access.delete_user("bob", who="admin"),
    ]
    for change in changes:
        with pytest.raises(NotFound, match=r"there is no user 'bob'; users: admin"):
            change()


def test_somebody_stays_admin(settings: Settings, access: Access) -> None:
    changes: list[Callable[[], None]] = [
        lambda: access.set_role("admin", "viewer", who="admin"),
        lambda: access.delete_user("admin", who="admin"),
    ]
    for change in changes:
        with pytest.raises(Conflict, match=r"'admin' is the last admin; make somebody else admin first"):
            change()
    access.create_user("ann", "viewer", PASSWORD, who="admin")
    access.set_role("ann", "admin", who="admin")
    access.delete_user("admin", who="ann")
    assert not settings.layout.admin_password.exists()  # the login page tells of it while it is there
    assert [(user.name, user.role) for user in access.list_users()] == [("ann", Role.ADMIN)]


def test_each_role_may_what_the_one_before_it_may() -> None:
    assert [[one.includes(other) for other in Role] for one in Role] == [
        [True, False, False], [True, True, False], [True, True, True],
    ]  # fmt: skip


def test_a_key_opens_its_scopes_until_it_is_revoked(access: Access) -> None:
    made = access.create_key("shop", " label,predict", who="ann")
    assert made.scope == "predict,label"
    assert made.key.startswith("apk_")
    assert len(made.key) == 47
    found = access.check_key(made.key)
    assert found == KeyInfo(name="shop", scopes=frozenset({Scope.PREDICT, Scope.LABEL}))
    assert found is not None
    assert [found.opens(scope) for scope in Scope] == [True, True, False, False]
    access.revoke_key("shop", who="ann")
    assert access.check_key(made.key) is None


def test_an_admins_key_opens_everything_and_a_mistyped_one_nothing(access: Access) -> None:
    made = access.create_key("root", "admin", who="ann")
    found = access.check_key(made.key)
    assert found is not None
    assert all(found.opens(scope) for scope in Scope)
    for wrong in ("", "nonsense", "apk_" + "x" * 43, made.key[:-1], made.key + "a", made.key.upper()):
        assert access.check_key(wrong) is None


def test_the_text_of_a_key_is_stored_nowhere(settings: Settings, access: Access) -> None:
    key = access.create_key("shop", "read", who="ann").key.encode()
    assert not any(key in path.read_bytes() for path in settings.state.rglob("*") if path.is_file())


@pytest.mark.parametrize(
    ("name", "scope", "message"),
    [
        ("shop", "write", r"'write' is no scope: use predict, label, read, admin, or some of them joined by commas"),
        ("shop", "", r"'' is no scope"),
        ("a shop", "read", r"'a shop' cannot name a key"),
    ],
)
def test_a_key_that_cannot_be_is_refused(access: Access, name: str, scope: str, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        access.create_key(name, scope, who="ann")


def test_a_keys_name_is_taken_for_good(access: Access) -> None:
    access.create_key("shop", "read", who="ann")
    access.revoke_key("shop", who="ann")
    with pytest.raises(Conflict, match=r"there is, or was, a key 'shop'; choose another name"):
        access.create_key("shop", "read", who="ann")
    with pytest.raises(NotFound, match=r"no good key is named 'shop'; 'appliance key list' shows them"):
        access.revoke_key("shop", who="ann")
    assert [(key.name, key.revoked_at is None) for key in access.list_keys()] == [("shop", False)]


def test_every_change_is_in_the_audit_and_no_secret_is(access: Access) -> None:
    access.create_user("ann", "viewer", PASSWORD, who="admin")
    access.set_password("ann", "another secret", who="ann")
    key = access.create_key("shop", "read", who="ann").key
    access.revoke_key("shop", who="ann")
    access.record("cli", "model.deploy", "bikes", "version 2 as champion")
    told = [(row.entry.who, row.entry.action, row.entry.subject, row.entry.detail) for row in access.audit()]
    assert told == [
        ("cli", "model.deploy", "bikes", "version 2 as champion"),
        ("ann", "key.revoke", "shop", ""),
        ("ann", "key.create", "shop", "scope read"),
        ("ann", "user.password", "ann", ""),
        ("admin", "user.add", "ann", "role viewer"),
        ("cli", "user.add", "admin", "first admin"),
    ]
    assert not any(secret in str(told) for secret in (PASSWORD, "another secret", key))
    assert access.verify().intact


def test_an_edited_audit_row_is_found(settings: Settings, access: Access) -> None:
    for number in range(3):
        access.record("ann", "model.deploy", "bikes", f"version {number}")
    connection = statedb.connect(settings.layout.database)
    connection.execute("UPDATE audit SET who = 'bob' WHERE id = 2")
    connection.close()
    assert access.verify().broken_at == 2


def test_the_serving_process_checks_keys_without_the_heavy_libraries() -> None:
    program = (
        "import sys, appliance.keys, storage.key_rows, storage.statedb\n"
        "heavy = 'argon2 sqlite_utils duckdb polars deltalake pyarrow pandas pydantic numpy'.split()\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"


def test_a_user_is_a_value(access: Access) -> None:
    assert access.list_users() == access.list_users()
    assert isinstance(access.list_users()[0], User)


@pytest.mark.parametrize(("role", "said"), [(Role.VIEWER, "a viewer"), (Role.OPERATOR, "an operator")])
def test_a_refusal_says_which_role_one_has(role: Role, said: str) -> None:
    with pytest.raises(NotAllowed, match=rf"^eve is {said}; managing users and keys, and reading the audit, needs"):
        require(Caller(name="eve", role=role), Action.ADMINISTER)
