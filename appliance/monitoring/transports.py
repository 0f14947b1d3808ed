"""The door to apprise, and the signed webhook: sends one message to one address, and says why when it fails.

A webhook is signed as the Standard Webhooks specification has it: HMAC-SHA256 with the channel's secret over
``ID.TIMESTAMP.BODY`` in the headers ``webhook-id``, ``webhook-timestamp`` and ``webhook-signature``; the id is the same
for every attempt. Nothing here writes an address to a log, and no reason holds a part of one.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import logging
import re
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import httpx
import msgspec

from appliance.errors import BadInput
from appliance.monitoring.message import Message

if TYPE_CHECKING:
    from apprise import AppriseAsset

TIMEOUT_S = 10.0
"""For each step of a webhook; apprise has limits of its own of about as much."""
SECRET_PREFIX = "whsec_"  # noqa: S105  (the prefix of every secret, not one)
MIN_SECRET_BYTES = 24
MASKED_FROM = 4
"""Parts of an address that are at least so long are masked in a reason."""
MOST_REASON = 300

_ONE_AT_A_TIME = threading.Lock()
"""apprise tells why it failed by its one logger alone."""


class Address(msgspec.Struct, frozen=True, kw_only=True):
    """Where a channel leads; all of it is secret.

    Attributes:
        url: Of a webhook, or of apprise.
        secret: Signs a webhook: ``whsec_`` and base64; empty for the others.
    """

    url: str
    secret: str = ""

    def __repr__(self) -> str:
        return "Address(***)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What may be told of an address: the service, and what an operator recognises it by."""

    kind: str
    hint: str


WEBHOOK = "webhook"


def identify(address: Address) -> Known:
    """Which service an address is of.

    Raises:
        BadInput: None that can be sent to; the message does not repeat the address.
    """
    import apprise  # noqa: PLC0415  (0.4 s; only where there is a channel)

    if re.search(r"[\x00-\x20\x7f]", address.url):
        raise BadInput("the channel's address holds a space or a control character; take it out or percent-encode it")
    with _overheard():
        service = apprise.Apprise.instantiate(address.url, asset=_asset())
    scheme = address.url.partition("://")[0].lower()
    if service is not None:
        name = str(service.service_name)
        host = getattr(service, "smtp_host", "") or urlsplit(address.url).hostname
        return Known(kind=scheme, hint=f"{name} by {host}" if scheme in {"mailto", "mailtos"} else name)
    if scheme in {"http", "https"}:
        return Known(kind=WEBHOOK, hint=f"webhook at {_host_of(address.url)}")
    raise BadInput(
        "the channel's address is none that can be sent to; use https://… for a webhook, or an address that apprise "
        "knows, such as mailtos://USER:PASSWORD@HOST?to=ADDRESS, slack://A/B/C or workflows://… for Teams"
    )


def make_secret() -> str:
    """A fresh secret for a webhook."""
    return SECRET_PREFIX + base64.b64encode(secrets.token_bytes(32)).decode()


def check_secret(secret: str) -> None:
    """Refuse a secret that cannot sign.

    Raises:
        BadInput: It is not base64 after its prefix, or too short; the message does not repeat it.
    """
    if len(_key(secret)) < MIN_SECRET_BYTES:
        raise BadInput(f"the webhook's secret must be whsec_ and base64 of at least {MIN_SECRET_BYTES} bytes")


def send(address: Address, message: Message, *, at_s: int) -> str | None:
    """Send one message.

    Args:
        address: Where.
        message: What.
        at_s: Now, seconds since 1970: the webhook's timestamp.

    Returns:
        None when it arrived, else why not, without any part of the address.
    """
    if address.secret:
        return _post(address, message, at_s=at_s)
    return _notify(address, message)


def sign(secret: str, *, message_id: str, at_s: int, body: bytes) -> str:
    """The value of ``webhook-signature``."""
    content = f"{message_id}.{at_s}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(_key(secret), content, hashlib.sha256).digest()).decode()


def _post(address: Address, message: Message, *, at_s: int) -> str | None:
    body = msgspec.json.encode({"timestamp": at_s, **message.document})
    headers = {
        "content-type": "application/json",
        "user-agent": "mlops-appliance",
        "webhook-id": message.id,
        "webhook-timestamp": str(at_s),
        "webhook-signature": sign(address.secret, message_id=message.id, at_s=at_s, body=body),
    }
    try:
        # A stream: whatever the receiver says is not read, however long it is.
        with httpx.stream("POST", address.url, content=body, headers=headers, timeout=TIMEOUT_S) as answer:
            return None if answer.is_success else f"the receiver answered {answer.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        return _masked(f"{type(exc).__name__}: {exc}", address.url)


def _notify(address: Address, message: Message) -> str | None:
    import apprise  # noqa: PLC0415

    kind = {"alarm": apprise.NotifyType.FAILURE, "warn": apprise.NotifyType.WARNING}.get(
        message.state, apprise.NotifyType.SUCCESS if message.event == "closed" else apprise.NotifyType.INFO
    )
    with _overheard() as said:
        service = apprise.Apprise.instantiate(address.url, asset=_asset())
        if service is None:
            return "this release of apprise does not know the address any more; add the channel again"
        arrived = service.notify(body=message.text, title=message.title, notify_type=kind)
    if arrived:
        return None
    return _masked("; ".join(dict.fromkeys(said)) or "the service did not take it and gave no reason", address.url)


def _asset() -> AppriseAsset:
    import apprise  # noqa: PLC0415

    return apprise.AppriseAsset(
        app_id="MLOps appliance", app_desc="MLOps appliance", app_url="", async_mode=False, secure_logging=True,
        storage_mode=apprise.PersistentStoreMode.MEMORY, plugin_paths=[],
    )  # fmt: skip


@contextmanager
def _overheard() -> Iterator[list[str]]:
    """What apprise warns of meanwhile; it goes nowhere else, since it may hold parts of an address."""
    heard: list[str] = []

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())

    logger, listener = logging.getLogger("apprise"), Listener(logging.WARNING)
    with _ONE_AT_A_TIME:
        level, propagates = logger.level, logger.propagate
        logger.addHandler(listener)
        logger.setLevel(logging.WARNING)
        logger.propagate = False
        try:
            yield heard
        finally:
            logger.removeHandler(listener)
            logger.setLevel(level)
            logger.propagate = propagates


def _masked(reason: str, url: str) -> str:
    """A reason without the parts of the address, but for its scheme and its host's name where that is not a token."""
    rest = url.partition("://")[2]
    parts = {part for text in (rest, unquote(rest)) for part in re.split(r"[/:@?&=,;+ ]+", text)}
    told = " ".join(reason.split())
    for part in sorted(parts, key=len, reverse=True):
        if len(part) >= MASKED_FROM:
            told = told.replace(part, "***")
    return told[:MOST_REASON]


def _key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _host_of(url: str) -> str:
    """Scheme, host and port; a webhook's path often is its secret.

    Raises:
        BadInput: There is no host.
    """
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise BadInput("the webhook's address has a malformed host or port") from exc
    if not host:
        raise BadInput("the webhook's address names no host")
    return f"{parts.scheme}://{host}" + (f":{port}" if port else "")
