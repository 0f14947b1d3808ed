"""Programs with a UI of their own behind the dashboard's login: where they are, and which of their calls only look."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote

from starlette.requests import HTTPConnection

from appliance.permissions import Action
from appliance.settings import Settings
from ui.addresses import reached

_LOOKING = frozenset({"GET", "HEAD", "OPTIONS"})

_MLFLOW_READS = re.compile(
    # MLflow 3.17: what asks by POST; everything else that is posted writes. GraphQL has queries alone.
    r"/graphql|/ajax-api/\d\.\d/mlflow/(?:[a-z-]+/)*(?:search|search-datasets|get-latest-versions|batchGetInfos|metrics)"
)
_PREFECT_READS = re.compile(
    # Prefect 3.8: what asks by POST, all that it has for its UI alone, and the two websockets that only tell.
    r"/api/(?:[\w-]+/)+(?:filter|count|paginate|history|lateness)|/api/ui/[\w/-]+|"
    r"/api/events/count-by/[\w:]+|/api/(?:events|logs)/out"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Guest:
    """One such program.

    Attributes:
        name: As in ``/open/NAME`` and ``appliance logs``.
        label: As people call it.
        service: The process that serves it, as in the roster.
        url: Where it listens, on loopback and without a login.
        setting: The setting of the next.
        port: Where it is had behind the login.
        tls_port: The same over TLS.
        reads: Paths that change nothing although they are posted to, or are a websocket.
    """

    name: str
    label: str
    service: str
    url: str
    setting: str
    port: int
    tls_port: int
    reads: re.Pattern[str]

    def needs(self, method: str, path: str) -> Action:
        """Who may make this call: anybody who is logged in looks; what may change something is the admin's.

        Args:
            method: Of HTTP; empty for a websocket.
            path: Decoded, without the query.
        """
        looks = method in _LOOKING or (method in {"POST", ""} and self.reads.fullmatch(path))
        return Action.LOOK if looks else Action.ADMINISTER

    def address(self, came: HTTPConnection, settings: Settings, to: str = "/") -> str:
        """Where the browser that sent this finds the program; ``to`` begins with a slash."""
        scheme, host, secure = reached(came, settings)
        return f"{scheme}://{host}:{self.tls_port if secure else self.port}{to}"

    def home(self, came: HTTPConnection, settings: Settings, to: str = "/") -> str:
        """Where the browser that came to the program's own port finds the dashboard."""
        scheme, host, secure = reached(came, settings)
        return f"{scheme}://{host}:{settings.tls_ui_port if secure else settings.ui_port}{to}"


def list_guests(settings: Settings) -> tuple[Guest, ...]:
    """The programs that are served behind the login; a port of 0 leaves one out."""
    found = (
        Guest(
            name="mlflow", label="MLflow", service="mlflow", url=f"http://127.0.0.1:{settings.mlflow_port}",
            setting="ui_mlflow_port", port=settings.ui_mlflow_port, tls_port=settings.tls_ui_mlflow_port,
            reads=_MLFLOW_READS,
        ),
        Guest(
            name="prefect", label="Prefect", service="orchestrator",
            url=f"http://127.0.0.1:{settings.orchestrator_port}",
            setting="ui_prefect_port", port=settings.ui_prefect_port, tls_port=settings.tls_ui_prefect_port,
            reads=_PREFECT_READS,
        ),
    )  # fmt: skip
    return tuple(guest for guest in found if guest.port)


def open_at(name: str, to: str = "/") -> str:
    """The dashboard's address that leads to a page of a program; ``to`` begins with a slash."""
    return f"/open/{name}" + (f"?to={quote(to, safe='/')}" if to != "/" else "")
