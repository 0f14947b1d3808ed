"""Whether a release can do its work on this host, asked while the one before it serves: ``python -m`` of this module.

Each process's module is imported, which loads every library that it needs, and each version that serves is loaded from
its bundle, which scores its golden rows with this release's LightGBM.
"""

from __future__ import annotations

import importlib
import json
import os
import sys

from appliance.processes.roster import MODULES
from appliance.settings import load_settings

OTHERS = ("appliance.cli.main", "appliance.training.train", "appliance.monitoring.watch", "appliance.compaction")


def check_release() -> list[str]:
    """One sentence for each thing that does not work."""
    from appliance.errors import BundleRefused  # noqa: PLC0415
    from appliance.serving.loaded_model import load_model  # noqa: PLC0415

    problems = []
    for module in (*MODULES.values(), *OTHERS):
        try:
            importlib.import_module(module)
        except Exception as exc:  # noqa: BLE001  (whatever a module of a bad release does)
            problems.append(f"{module} cannot be imported: {type(exc).__name__}: {exc}")
    settings = load_settings()
    deployments = settings.layout.deployments
    models = json.loads(deployments.read_bytes()).get("models", {}) if deployments.is_file() else {}
    for name, roles in models.items():
        for role, version in roles.items():
            if role == "percent":
                continue
            try:
                load_model(settings.layout, name, version)
            except BundleRefused as exc:
                problems.append(str(exc))
    return problems


def main() -> int:
    """Exit code 1, with a line a problem, when the release must not be started."""
    os.environ.setdefault("PREFECT_SERVER_ALLOW_EPHEMERAL_MODE", "false")
    problems = check_release()
    for problem in problems:
        print(problem)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
