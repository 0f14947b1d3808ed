"""The dashboard's process: ``python -m ui.app``, with settings from the environment."""

from __future__ import annotations

import faulthandler
import importlib
import logging
import os
import signal
import socket
import sys
import tempfile

from appliance.errors import ApplianceError, BadSetting
from appliance.house import prepare_state
from appliance.processes import heap
from appliance.processes.loglines import report, start_log
from appliance.processes.ports import is_free
from appliance.settings import Settings, load_settings
from storage.errors import StorageError
from ui.guests import list_guests
from ui.memory import refuse_unused
from ui.texts import NoTranslation, install


def run(settings: Settings) -> None:
    """Serve the dashboard and the control API until SIGTERM or SIGINT.

    Raises:
        BadSetting: The port or the address cannot be had.
        StateUnwritable: The state directory cannot be written.
    """
    heap.keep_small()
    refuse_unused()
    prepare_state(settings)
    require_port(settings.listen, settings.ui_port, "ui_port")
    settings = without_crowded_guests(settings)
    speak(settings)
    # NiceGUI reads this when it is imported; half-received uploads belong on the state's disk, not in /tmp.
    os.environ["NICEGUI_STORAGE_PATH"] = str(settings.layout.root / "ui")
    tempfile.tempdir = str(settings.layout.tmp)
    # Uvicorn ends orderly on SIGTERM and then raises the signal again for whoever handled it before: us, with code 0.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    importlib.import_module("ui.dashboard").serve(settings)


def speak(settings: Settings) -> None:
    """Choose the language, before a page is imported; a missing translation is no reason to have no dashboard."""
    try:
        install(settings.ui_language, settings.layout.locale)
    except NoTranslation as exc:
        logging.getLogger("appliance.ui").warning("%s; the dashboard speaks English", exc)


def without_crowded_guests(settings: Settings) -> Settings:
    """The settings without MLflow's and Prefect's ports that nobody chose and something else has or is to have.

    Raises:
        BadSetting: A port that was chosen is taken.
    """
    wanted = {settings.api_port, settings.ui_port, settings.orchestrator_port, settings.mlflow_port}
    left_out: dict[str, int] = {}
    for guest in list_guests(settings):
        if settings.is_chosen(guest.setting):
            require_port(settings.listen, guest.port, guest.setting)
        elif guest.port in wanted or not is_free(settings.listen, guest.port):
            left_out[guest.setting] = 0
            logging.getLogger("appliance.ui").warning(
                "%s is not served behind the login: port %d is taken; choose another with APPLIANCE_%s",
                guest.label, guest.port, guest.setting.upper(),
            )  # fmt: skip
    return settings.model_copy(update=left_out)


def require_port(address: str, port: int, setting: str) -> None:
    """Fail with a sentence rather than with a stack when the port is taken.

    Raises:
        BadSetting: It is, or the address is not this host's.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as exc:
            raise BadSetting(
                f"the dashboard cannot listen on {address}:{port}: {exc.strerror}; "
                f"stop what uses the port, or choose another with APPLIANCE_{setting.upper()}"
            ) from exc


def main() -> None:
    """Run, and say in one sentence what went wrong when it cannot."""
    start_log()
    faulthandler.enable()  # a watchdog ends a process that hangs with SIGABRT: it says where it hangs
    try:
        run(load_settings())
    except (ApplianceError, StorageError) as exc:
        report(f"dashboard: {exc}")
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(0)


if __name__ == "__main__":
    main()
