"""The passphrase of backups: where it is looked for, and that nothing is made in clear on a host that has one."""

from __future__ import annotations

import os
from pathlib import Path

from appliance.errors import BadInput
from appliance.settings import CONFIG_VARIABLE, Settings

CREDENTIAL = "backup-passphrase"
"""The name under which systemd hands it to a unit, and that of its file beside the settings, which root alone reads."""

HANDED_OVER = Path("/etc/systemd/system/appliance-backup.service.d/20-passphrase.conf")
"""What the installer writes where it found that file, and takes away once the file is gone."""


def find_passphrase(settings: Settings, given: Path | None = None) -> str | None:
    """The passphrase with which backups are opened; None where there is none.

    Args:
        settings: Whose ``backup_passphrase_file`` is the third place.
        given: A file that somebody named, which comes before all. The second place is what systemd handed over, the
            last the file beside the settings, with units and where this process may read it.

    Raises:
        BadInput: The file cannot be read, or is empty.
    """
    path = given or _find_credential() or settings.backup_passphrase_file
    if path is None:
        path = _find_beside(settings)
        if path is None or not _can_read(path):
            return None
    return _read(path)


def find_seal(settings: Settings, given: Path | None = None) -> str | None:
    """The passphrase that seals a new backup; None only on a host that has none.

    Args:
        settings: As for ``find_passphrase``.
        given: As for ``find_passphrase``.

    Raises:
        BadInput: As ``find_passphrase``; or there is one that was not handed to this process; or its file is gone.
    """
    found = find_passphrase(settings, given)
    beside = _find_beside(settings)
    if found is None and beside is None and settings.systemd and HANDED_OVER.exists():
        raise BadInput(
            "no backup was made: the file of the passphrase that seals backups is gone; put it back, or run "
            "'./install.sh' again to have backups in clear from now on"
        )
    if found is None and beside is not None:
        raise BadInput(
            f"no backup was made: {beside} is there to seal it, and was not handed to this process; run './install.sh' "
            "again, which hands it over"
        )
    return found


def is_sealing(settings: Settings) -> bool:
    """Whether new backups of this host are sealed, or else refused."""
    places = (_find_credential(), settings.backup_passphrase_file, _find_beside(settings))
    return any(place is not None for place in places) or (settings.systemd and HANDED_OVER.exists())


def _find_credential() -> Path | None:
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    path = Path(folder) / CREDENTIAL if folder else None
    return path if path is not None and path.is_file() else None


def _find_beside(settings: Settings) -> Path | None:
    """With units, the file that the installer looks for; whether it can be read is another matter."""
    config = os.environ.get(CONFIG_VARIABLE)
    if not settings.systemd or not config:
        return None
    path = Path(config).absolute().parent / CREDENTIAL
    return path if path.exists() else None


def _can_read(path: Path) -> bool:
    try:
        path.open("rb").close()  # os.access knows nothing of the capabilities that root's commands keep
    except OSError:
        return False
    return True


def _read(path: Path) -> str:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise BadInput(f"the passphrase file {path} cannot be read: {exc}") from exc
    if lines and lines[0]:
        return lines[0]
    if path == _find_credential():
        raise BadInput(
            "the backup's passphrase was not there, or empty, when this process started; its file beside the settings "
            "has it as its first line: put it there, or remove the file, then run './install.sh' again"
        )
    raise BadInput(f"the passphrase file {path} is empty; its first line is the passphrase")
