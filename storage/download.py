"""Fetches a file from an http(s) address into a work directory, within a size and a time."""

from __future__ import annotations

import ssl
import time
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

import httpx

from storage.addresses import redacted, scrubbed
from storage.errors import SourceUnreachable, SourceUnreadable, StateUnwritable

MOST_REDIRECTS = 5
MOST_NAME_BYTES = 200
"""Of the file that is kept; file systems take 255 at most."""
_SILENCE_S = 30.0
"""How long a server may say nothing."""
_CHUNK = 1 << 20
_NOT_NOW = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another attempt may not get."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DownloadLimits:
    """How much of the network one source may use.

    Attributes:
        most_bytes: Largest body, in bytes as they are sent.
        timeout_s: For the whole download, in seconds.
        ca: Certificates of authorities that are trusted beside those of the system, PEM.
    """

    most_bytes: int = 4 << 30
    timeout_s: float = 3600.0
    ca: Path | None = None


def download(address: str, folder: Path, limits: DownloadLimits) -> Path:
    """Fetch what an http(s) address names; returns the file, under the name that the address ends in.

    Redirects are followed within the same host, and from http to https; the environment's proxies are used.

    Raises:
        SourceUnreachable: The server does not answer, breaks off, or says that it cannot now.
        SourceUnreadable: The address is none, the server's certificate is not trusted, it answers with another error,
            sends a redirect to another host, or more than the limits allow.
        StateUnwritable: There is no room for it.
    """
    until = time.monotonic() + limits.timeout_s
    try:
        target = folder / _name(address)
        with httpx.Client(
            timeout=min(_SILENCE_S, limits.timeout_s), headers={"Accept-Encoding": "identity"}, verify=_trust(limits.ca)
        ) as client:
            where = httpx.URL(address)
            for _ in range(MOST_REDIRECTS + 1):
                with client.stream("GET", where) as answer:
                    if not answer.is_redirect:
                        _receive(address, answer, target, most_bytes=limits.most_bytes, until=until)
                        return target
                    where = _next(address, where, answer)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as exc:
        if (refused := _refused_certificate(exc)) is not None:
            raise SourceUnreadable(f"{redacted(address)} cannot be fetched: {refused}") from exc
        told = f"{redacted(address)} cannot be fetched: {scrubbed(str(exc), address) or type(exc).__name__}"
        if isinstance(exc, httpx.NetworkError | httpx.TimeoutException | httpx.RemoteProtocolError):
            raise SourceUnreachable(told) from exc
        raise SourceUnreadable(told) from exc
    raise SourceUnreadable(f"{redacted(address)} cannot be fetched: more than {MOST_REDIRECTS} redirects")


def _trust(ca: Path | None) -> ssl.SSLContext:
    trust = httpx.create_ssl_context()
    if ca is not None:
        try:
            trust.load_verify_locations(cafile=ca)
        except OSError as exc:  # an ssl.SSLError is one, too
            raise SourceUnreadable(
                f"{ca} cannot be read as certificates in PEM ({exc.strerror or exc}); mend the setting "
                "download_ca (APPLIANCE_DOWNLOAD_CA)"
            ) from exc
    return trust


def _refused_certificate(exc: BaseException | None) -> str | None:
    """Why the server is not the one that it says it is, or speaks no TLS; None where that is not what went wrong."""
    while exc is not None:
        if isinstance(exc, ssl.SSLCertVerificationError):
            return (
                f"the server's certificate is not trusted: {exc.verify_message}; where an authority of your own signed "
                "it, name its certificate in the setting download_ca (APPLIANCE_DOWNLOAD_CA), else ask who runs it"
            )
        if isinstance(exc, ssl.SSLError):
            return f"the server does not speak TLS as we do ({exc.reason}); is it http, or another port?"
        exc = exc.__cause__ or exc.__context__
    return None


def _name(address: str) -> str:
    last = PurePosixPath(unquote(urlsplit(address).path)).name
    plain = "".join(mark if mark.isalnum() or mark in "._-+ ()" else "_" for mark in last)
    # In bytes: a letter has up to four; one that is cut in two is left out.
    return plain.encode()[-MOST_NAME_BYTES:].decode(errors="ignore").lstrip(".") or "download"


def _next(address: str, here: httpx.URL, answer: httpx.Response) -> httpx.URL:
    there = here.join(answer.headers.get("location", ""))
    same = (there.host, there.port) == (here.host, here.port)
    upgraded = there.host == here.host and (here.scheme, there.scheme) == ("http", "https")
    if there.scheme not in {"http", "https"} or not (upgraded or (same and there.scheme == here.scheme)):
        raise SourceUnreadable(
            f"{redacted(address)} sends us on to {redacted(str(there))}, another host or scheme; if you trust it, "
            "name that address"
        )
    return there


def _receive(address: str, answer: httpx.Response, target: Path, *, most_bytes: int, until: float) -> None:
    if answer.status_code != httpx.codes.OK:
        told = f"{redacted(address)} cannot be fetched: the server answers {answer.status_code} {answer.reason_phrase}"
        raise SourceUnreachable(told) if answer.status_code in _NOT_NOW else SourceUnreadable(told)
    announced = answer.headers.get("content-length", "")
    too_large = f"{redacted(address)} is larger than {most_bytes:,} bytes; raise APPLIANCE_MAX_UPLOAD_BYTES to take it"
    if announced.isdigit() and int(announced) > most_bytes:
        raise SourceUnreadable(too_large)
    size = 0
    try:
        with target.open("xb") as file:
            for chunk in answer.iter_raw(_CHUNK):
                size += len(chunk)
                if size > most_bytes:
                    raise SourceUnreadable(too_large)
                if time.monotonic() > until:
                    raise SourceUnreadable(
                        f"{redacted(address)} did not arrive in time ({size:,} bytes came); raise "
                        "APPLIANCE_DOWNLOAD_TIMEOUT_S to wait longer"
                    )
                file.write(chunk)
    except OSError as exc:
        raise StateUnwritable(f"cannot keep {redacted(address)} in {target.parent}: {exc.strerror}") from exc
    if announced.isdigit() and size < int(announced):
        raise SourceUnreachable(f"{redacted(address)} broke off after {size:,} of {announced} bytes; try again")
