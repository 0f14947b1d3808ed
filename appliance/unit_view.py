"""What the units see of the host's files: neither home directories nor temporary folders.

See ``ProtectHome=`` and ``PrivateTmp=`` in ``systemd.exec(5)``. The command line sees all of it, the dashboard and what
runs by itself do not.
"""

from __future__ import annotations

from pathlib import Path

from appliance.errors import BadInput
from appliance.settings import Settings
from storage.addresses import is_address

UNSEEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")  # noqa: S108  (named, not used)


def require_seen(settings: Settings, source: str) -> None:
    """Let pass what the units can read, whether or not it is there.

    Args:
        settings: Whether there are units.
        source: A path, a glob or an address.

    Raises:
        BadInput: With units, for a path that none of them sees.
    """
    path = Path(source).absolute()
    if not settings.systemd or is_address(source) or path.is_relative_to(settings.state.absolute()):
        return
    place = next((place for place in UNSEEN if path.is_relative_to(place)), None)
    if place is not None:
        raise BadInput(
            f"{path} cannot be seen: what runs as a unit sees no file below {place}; put it elsewhere, such as below "
            "/srv, upload it, or add it once with 'appliance data add'"
        )
