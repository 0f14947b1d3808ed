"""The reference of this release, once somebody asked for it: it does not change while the process lives."""

from __future__ import annotations

from appliance.reference import Reference, read_reference
from ui.texts import _

SLUGS = ("cli", "rest", "settings")
"""Its pages below ``/help/``."""
LABELS = (_("Commands"), _("HTTP calls"), _("All settings"))
LEADS = (
    _("Every command of this release, from its own parser."),
    _("Every call of the control API and of the inference API, from their own descriptions."),
    _("Every setting of this release with its default, for appliance.toml or the environment."),
)


class _Known:
    found: Reference | None = None


def known_reference() -> Reference | None:
    """What ``learn_reference`` found before; None where nobody asked yet."""
    return _Known.found


def learn_reference() -> Reference:
    """The reference; takes seconds for the first who asks.

    Raises:
        NotReady: It could not be worked out.
    """
    if _Known.found is None:
        _Known.found = read_reference()
    return _Known.found
