"""Which endpoint answers a path.

Litestar 2.25 cannot route an ASGI handler whose path has parameters (it looks them up by HTTP method and finds none),
so one mounted handler asks this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from appliance.api.inference.errors import NoSuchRoute
from appliance.api.inference.exchange import Endpoint

_MAX_REMEMBERED = 4096
_MAX_REMEMBERED_LENGTH = 256
_MAX_LENGTH = 1024
"""Of a path that may mean something. Litestar keeps the last paths: what anybody may send must not fill the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Match:
    """An endpoint and the path's parameters."""

    endpoint: Endpoint
    params: Mapping[str, str]


class PathTable:
    """Templates such as ``/models/{model}/predict`` or ``/v1/models/{model}:predict`` and their endpoints.

    A colon begins a segment, its verb: no name of a model holds one. The first template that fits decides.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._templates = [(_segments(template), endpoint) for template, endpoint in endpoints.items()]
        self._remembered: dict[str, Match] = {}

    def find(self, path: str) -> Match:
        """The endpoint of a path; slashes at either end do not matter.

        Raises:
            NoSuchRoute: No template fits.
        """
        return self._remembered.get(path) or self._match(path)

    @staticmethod
    def is_too_long(path: str) -> bool:
        """Whether nothing can be at a path, by its length alone."""
        return len(path) > _MAX_LENGTH

    def _match(self, path: str) -> Match:
        segments = [] if self.is_too_long(path) else _segments(path)
        for template, endpoint in self._templates:
            params = _fit(template, segments)
            if params is not None:
                match = Match(endpoint=endpoint, params=params)
                if len(path) <= _MAX_REMEMBERED_LENGTH:
                    self._remember(path, match)
                return match
        raise NoSuchRoute(f"there is nothing at {path.strip('/')[:200]!r}; what there is stands at /docs")

    def _remember(self, path: str, match: Match) -> None:
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[path] = match


def _segments(path: str) -> list[str]:
    return path.strip("/").replace(":", "/:").split("/")


def _fit(template: list[str], segments: list[str]) -> dict[str, str] | None:
    """The parameters, when the template fits."""
    if len(template) != len(segments):
        return None
    params = {}
    for wanted, found in zip(template, segments, strict=True):
        if wanted.startswith("{"):
            params[wanted[1:-1]] = found
        elif wanted != found:
            return None
    return params
