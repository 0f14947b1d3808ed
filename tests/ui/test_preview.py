"""The preview of a file before it is saved, whatever its columns are called; with NiceGUI's own elements."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nicegui import Client
from nicegui import ui as ng

from appliance.datasets import Datasets
from appliance.house import prepare_state
from appliance.intake import Intake
from appliance.settings import Settings
from ui.pages.data_preview import Choices, show_preview


def test_columns_that_are_called_like_patterns_are_columns_like_others(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    file = tmp_path / "odd.csv"
    file.write_text("*,^a.*$,amount\nstar,hat,7\n")
    look = Datasets(settings).look_through(Intake(source=str(file)))

    async def draw() -> list[str]:
        client = Client(ng.page("/test"))
        with client:
            show_preview(look, Choices())
        drawn = [one.content for one in client.content.descendants() if isinstance(one, ng.html)]
        client.delete()
        return drawn

    *_, table = asyncio.run(draw())
    assert "<tr><td>star</td><td>hat</td><td" in table
