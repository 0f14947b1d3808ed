"""The preview of a file before it is saved, whatever its columns are called; with NiceGUI's own elements."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nicegui import Client
from nicegui import ui as ng

from appliance.datasets import Datasets
from appliance.findings import Code
from appliance.house import prepare_state
from appliance.intake import Intake
from appliance.settings import Settings
from ui.pages.data_preview import Choices, show_preview
from ui.pages.dataset_columns import warnings_of


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


def test_what_several_columns_have_in_common_stands_above_them_once(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    file = tmp_path / "answers.csv"
    rows = [",".join([str(-99 if (at + q) % 10 == 0 else 1 + at * q % 5) for q in range(1, 7)]) for at in range(100)]
    file.write_text("\n".join(["q1,q2,q3,q4,q5,q6", *rows]) + "\n")
    findings = Datasets(settings).look_through(Intake(source=str(file))).findings
    (told,) = [one for one in findings if one.code is Code.SENTINEL]
    beside = warnings_of(findings)
    assert [name for name in told.columns if "See the note above on" in beside[name]] == list(told.columns)
    assert not any("-99" in sentence for sentence in beside.values())
