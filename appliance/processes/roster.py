"""The processes of an appliance: their names, the modules that run them, and how to ask them for their health."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.errors import NotFound

if TYPE_CHECKING:
    from appliance.settings import Settings

MODULES = {
    "api": "appliance.api.inference.process",
    "ui": "ui.app",
    "orchestrator": "flows.orchestrator",
    "runner": "flows.runner",
    "mlflow": "appliance.processes.mlflow_door",
    "tls": "appliance.processes.tls_door",
}
"""Run with ``python -m``; each reads its settings from the environment. Named, not imported: the arrow points down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One process of the appliance.

    Attributes:
        name: As in ``appliance serve NAME``.
        module: Run with ``python -m``.
        host: Where it listens; empty when it does not.
        port: 0 when it does not listen.
        setting: The setting that holds its port.
        further: ``(setting, port)`` of each other port of the same process.
        health: A URL that answers with 2xx when the process is well; empty when it has none.
        watchdog_s: A process that was ready and has said nothing for so long hangs, and is started again; its unit's
            ``WatchdogSec=`` is the same.
    """

    name: str
    module: str
    host: str = ""
    port: int = 0
    setting: str = ""
    further: tuple[tuple[str, int], ...] = ()
    health: str = ""
    watchdog_s: float = 0.0

    @property
    def unit(self) -> str:
        """Its systemd unit."""
        return f"appliance-{self.name}.service"

    @property
    def ports(self) -> tuple[tuple[str, int], ...]:
        """``(setting, port)`` of every port it listens on."""
        return tuple(one for one in ((self.setting, self.port), *self.further) if one[1])


def roster(settings: Settings) -> tuple[Service, ...]:
    """The processes in the order in which ``status`` shows them; ``tls`` where there is a certificate."""
    tls = (
        Service(
            name="tls", module=MODULES["tls"], host=settings.tls_listen, port=settings.tls_api_port,
            setting="tls_api_port", watchdog_s=60.0,
            further=tuple((name, outer) for name, (outer, _) in settings.tls_ports.items() if name != "tls_api_port"),
        ),
    )  # fmt: skip
    return (
        Service(
            name="api", module=MODULES["api"], host=settings.listen, port=settings.api_port,
            setting="api_port", health=f"{settings.api_url}/health/live", watchdog_s=30.0,
        ),
        Service(
            name="ui", module=MODULES["ui"], host=settings.listen, port=settings.ui_port,
            setting="ui_port",
            # Ports that nobody chose are left out where something else has them; they keep nothing from starting.
            further=tuple(
                (name, getattr(settings, name))
                for name in ("ui_mlflow_port", "ui_prefect_port") if settings.is_chosen(name)
            ),
            health=f"{settings.ui_url}/login", watchdog_s=150.0,
        ),
        Service(
            name="orchestrator", module=MODULES["orchestrator"], host="127.0.0.1", port=settings.orchestrator_port,
            setting="orchestrator_port", health=f"{settings.orchestrator_url}/health", watchdog_s=150.0,
        ),
        Service(name="runner", module=MODULES["runner"], watchdog_s=300.0),
        Service(
            name="mlflow", module=MODULES["mlflow"], host="127.0.0.1", port=settings.mlflow_port,
            setting="mlflow_port", watchdog_s=60.0,
        ),
        *(tls if settings.tls_cert else ()),
    )  # fmt: skip


def get_module(name: str) -> str:
    """The module behind ``appliance serve NAME``.

    Raises:
        NotFound: The appliance has no such process.
    """
    if name not in MODULES:
        raise NotFound(f"there is no process {name!r}; choose one of {', '.join(MODULES)}")
    return MODULES[name]
