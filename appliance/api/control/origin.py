"""Tells whether a browser sent a request on behalf of another site."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit


def is_cross_site(headers: Mapping[str, str]) -> bool:
    """Whether a writing request comes from a page of another origin.

    Browsers say so in ``Sec-Fetch-Site`` and, on every writing request, in ``Origin``; curl and scripts send neither
    and are let pass, since no browser lends them a cookie.
    """
    site = headers.get("sec-fetch-site")
    if site is not None and site not in {"same-origin", "none"}:
        return True
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != headers.get("host", "")
