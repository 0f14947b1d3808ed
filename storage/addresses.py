"""Addresses (``scheme://…``) of sources, and what of them is told and recorded: no password.

They are taken apart by their text, so that one which is no URL is told without its password, too.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from storage.errors import SourceUnreadable

SECRET = frozenset({"password", "sslpassword", "oauth_client_secret", "scram_client_key", "scram_server_key"})
"""Parameters of a database's address that are secret (libpq, "Parameter Key Words")."""

_WEB = frozenset({"http", "https"})
"""Their query is part of what is asked for, and is kept: another program's password in it cannot be told apart."""


def is_address(source: str) -> bool:
    """Whether a source names an address (``scheme://…``) and no path."""
    scheme, found, _ = source.partition("://")
    return bool(found) and scheme.isascii() and scheme.replace("+", "").replace("-", "").isalnum()


def redacted(address: str) -> str:
    """The address without a password, for messages and for the record; it names the same source."""
    scheme, login, rest = _split(address)
    user, colon, _ = login.partition(":")
    if colon:
        login = f"{user}@"
    if scheme.lower() not in _WEB:
        place, mark, query = rest.partition("?")
        kept = "&".join(part for part in query.split("&") if not _is_secret(part))
        rest = f"{place}{mark}{kept}" if kept or not query else place
    return f"{scheme}://{login}{rest}"


def scrubbed(text: str, address: str) -> str:
    """What a library says of an address, without the address's password."""
    _, login, rest = _split(address)
    values = [login.removesuffix("@").partition(":")[2]]
    values += [part.partition("=")[2] for part in rest.partition("?")[2].split("&") if _is_secret(part)]
    text = text.replace(address, redacted(address))
    secrets = {secret for value in values for secret in (value, unquote(value)) if secret}
    for secret in sorted(secrets, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


def require_whole(address: str) -> None:
    """Check that the password ends where a library would take it to end: else it would take the rest for the host.

    Raises:
        SourceUnreadable: It has a mark in it that has a meaning in an address.
    """
    _, login, _ = _split(address)
    if ":" in login and (any(mark in login for mark in "/?#") or login.count("@") > 1):
        raise SourceUnreadable(
            f"{redacted(address)} cannot be read: what stands before its last @ has a mark that ends a name or a "
            "password early; write / as %2F, ? as %3F, # as %23 and @ as %40"
        )


def _split(address: str) -> tuple[str, str, str]:
    """Scheme, user and password with their ``@`` (empty without), and the rest."""
    scheme, _, rest = address.partition("://")
    end = _login_end(scheme.lower(), rest)
    return scheme, rest[:end], rest[end:]


def _login_end(scheme: str, rest: str) -> int:
    """Behind which place of the rest user and password end; 0 where there are none."""
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    end = authority.rfind("@") + 1
    if not end and any(map(_is_no_port, authority.split(","))):
        return rest.rfind("@") + 1  # user:pa/ss@host
    if scheme in _WEB:
        return end
    place, _, query = rest.partition("?")
    known = place.rfind("@") + 1
    behind = query.rfind("@") + 1
    if behind and not known and ":" in place and "=" not in query[:behind]:
        return len(place) + 1 + behind  # user:12?3@host
    return known if ":" in rest[:known] else end


def _is_no_port(host: str) -> bool:
    """Whether what stands behind a host's colon is none, so that this may be the begin of ``user:password``."""
    _, colon, port = host.rpartition(":")
    return bool(colon and port) and not port.isdigit() and not host.endswith("]")


def _is_secret(part: str) -> bool:
    return unquote(part.partition("=")[0]).strip().lower() in SECRET
