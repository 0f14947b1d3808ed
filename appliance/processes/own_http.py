"""Asks our own processes over HTTP, past whatever proxies the environment names: those are for other hosts."""

from __future__ import annotations

import urllib.request
from http.client import HTTPResponse
from typing import cast


def open_own(address: str, *, timeout_s: float) -> HTTPResponse:
    """The answer of one of our own processes to GET; it needs closing.

    Args:
        address: An http URL of this host.
        timeout_s: For each step of it.

    Raises:
        urllib.error.HTTPError: It answered something else than 2xx.
        OSError: It does not answer.
    """
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return cast("HTTPResponse", opener.open(address, timeout=timeout_s))
