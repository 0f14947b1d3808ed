from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from appliance.access import Access
from appliance.house import SECRET_BYTES, open_appliance, prepare_state
from appliance.settings import Settings
from storage import statedb
from storage.errors import StaleSchema
from storage.statedb import SCHEMA_VERSION


def test_preparing_makes_the_state_and_doing_it_again_changes_nothing(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    layout = settings.layout
    assert len(layout.secret.read_bytes()) == SECRET_BYTES
    assert layout.secret.stat().st_mode & 0o777 == 0o600
    before = (layout.secret.read_bytes(), layout.admin_password.read_bytes(), Access(settings).list_users())
    prepare_state(settings)
    assert (layout.secret.read_bytes(), layout.admin_password.read_bytes(), Access(settings).list_users()) == before
    assert [path.name for path in layout.root.iterdir() if path.name.startswith(".")] == []


def test_several_may_prepare_at_once(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    errors: list[Exception] = []
    secrets: set[bytes] = set()

    def prepare() -> None:
        try:
            prepare_state(settings)
            secrets.add(settings.layout.secret.read_bytes())
        except Exception as exc:  # noqa: BLE001  (told by the assertion below)
            errors.append(exc)

    threads = [threading.Thread(target=prepare) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(secrets) == 1
    password = settings.layout.admin_password.read_text().strip()
    assert Access(settings).login("admin", password).name == "admin"


def test_a_state_of_a_newer_release_is_left_alone(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    connection = statedb.connect(settings.layout.database)
    connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StaleSchema, match="newer than this program"):
        prepare_state(settings)


def test_parts_are_built_once_and_only_when_asked_for(tmp_path: Path) -> None:
    appliance = open_appliance(Settings(state=tmp_path / "state"))
    assert appliance.datasets is appliance.datasets
    assert appliance.access is appliance.access
    program = (
        "import sys; from appliance.house import open_appliance; from appliance.settings import Settings\n"
        "open_appliance(Settings()).access\n"
        "print(sorted({'duckdb', 'polars', 'deltalake', 'pyarrow', 'mlflow', 'lightgbm', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout == "[]\n"
