"""The preview of a file before it is saved, whatever its columns are called; with NiceGUI's own elements."""

from __future__ import annotations

import asyncio
from pathlib import Path

import polars as pl
from nicegui import Client
from nicegui import ui as ng

from appliance.datasets import Datasets
from appliance.findings import Code
from appliance.house import prepare_state
from appliance.intake import Intake
from appliance.settings import Settings
from storage.columns import Dtype
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


def test_numbers_that_only_a_text_holds_are_text_unless_another_type_is_chosen(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    file, ids = tmp_path / "tickets.parquet", [2**63 + row for row in range(50)]
    pl.DataFrame({"ticket": pl.Series(ids, dtype=pl.UInt64), "n": range(50)}).write_parquet(file)
    look = Datasets(settings).look_through(Intake(source=str(file)))
    choices = Choices()

    async def draw() -> list[list[str]]:
        client = Client(ng.page("/test"))
        with client:
            show_preview(look, choices)
        fields = [one for one in client.content.descendants() if one.tag == "select"]
        found = [[str(option.props["value"]) for option in field.default_slot.children] for field in fields]
        client.delete()
        return found

    ticket, n = asyncio.run(draw())
    assert choices.types == {"ticket": Dtype.STRING}, "what is saved carries it"
    assert (ticket[0], len(ticket), n[0]) == ("string", len(Dtype), "found")
