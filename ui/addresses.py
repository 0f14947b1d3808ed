"""Where the browser that asked finds this appliance: addresses for what is pasted into a shell on that machine."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection

from appliance.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Addresses:
    """Base addresses without a slash at the end.

    Attributes:
        api: Of the inference API.
        control: Of the dashboard; the control API is below its ``/api``.
    """

    api: str
    control: str


def addresses_for(came: HTTPConnection, settings: Settings) -> Addresses:
    """By the host name and the scheme that the browser used, which is what works from where it runs.

    Where TLS is ours and the browser came over it, the inference API is had at ``tls_api_port``; where a proxy before
    us speaks it, the port of that proxy is not known, and the plain one is named.
    """
    scheme, host, secure = reached(came, settings)
    ours = secure and settings.tls_cert is not None and settings.tls_api_port
    api = f"https://{host}:{settings.tls_api_port}" if ours else f"http://{host}:{settings.api_port}"
    port = _port(came.headers.get("host", ""))
    return Addresses(api=api, control=f"{scheme}://{host}" + (f":{port}" if port else ""))


def reached(came: HTTPConnection, settings: Settings) -> tuple[str, str, bool]:
    """Scheme, host as in an address, and whether the browser speaks TLS with us or with a proxy before us."""
    netloc = came.headers.get("host", "")
    host = _host(netloc)
    tls = {outer for outer, _ in settings.tls_ports.values()} if settings.tls_cert else set()
    secure = came.url.scheme in {"https", "wss"} or _port(netloc) in tls
    return ("https" if secure else "http"), (f"[{host}]" if ":" in host else host), secure


def _host(netloc: str) -> str:
    try:
        return urlsplit(f"//{netloc}").hostname or "127.0.0.1"
    except ValueError:
        return "127.0.0.1"


def _port(netloc: str) -> int:
    try:
        return urlsplit(f"//{netloc}").port or 0
    except ValueError:
        return 0
