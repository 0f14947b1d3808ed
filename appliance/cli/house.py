"""The appliance that the settings name, for the verbs that work on its state."""

from __future__ import annotations

from appliance.errors import NotReady
from appliance.house import Appliance, open_appliance
from appliance.settings import load_settings


def open_house() -> Appliance:
    """The appliance; its state must be there.

    Raises:
        BadSetting: A setting is wrong.
        NotReady: Nothing was ever started or migrated here.
    """
    settings = load_settings()
    if not settings.layout.database.exists():
        raise NotReady(
            f"there is no appliance in {settings.state}; run 'appliance up' or 'appliance migrate' first, "
            "or name its state with --state DIR"
        )
    return open_appliance(settings)
