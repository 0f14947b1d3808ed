"""A real state, and the control API over it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from appliance.api.control.app import create_control_app
from appliance.api.control.doorkeeper import Doorkeeper
from appliance.api.control.sessions import Sessions
from appliance.house import Appliance, open_appliance, prepare_state
from appliance.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The control API, the appliance below it, and one key of each kind."""

    appliance: Appliance
    client: TestClient[Litestar]
    admin: dict[str, str]
    read: dict[str, str]
    predict: dict[str, str]


@pytest.fixture
def control(tmp_path: Path) -> Iterator[Control]:
    settings = Settings(state=tmp_path / "state", max_upload_bytes=200_000)
    prepare_state(settings)
    appliance = open_appliance(settings, apart=True)
    doorkeeper = Doorkeeper(appliance.access, Sessions(tmp_path / "sessions.json"))

    def key(scope: str) -> dict[str, str]:
        made = appliance.access.create_key(f"test-{scope}", scope, who="test")
        return {"Authorization": f"Bearer {made.key}"}

    with TestClient(create_control_app(appliance, doorkeeper)) as client:
        yield Control(appliance=appliance, client=client, admin=key("admin"), read=key("read"), predict=key("predict"))
    appliance.close()
