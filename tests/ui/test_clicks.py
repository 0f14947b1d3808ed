"""What the appliance refuses, as somebody reads it who has buttons and fields in place of commands."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import ApplianceError
from appliance.house import open_appliance, prepare_state
from appliance.model_spec import ModelSpec
from appliance.settings import Settings
from storage.errors import StorageError
from ui.clicks import in_clicks

PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"
COMMAND = re.compile(r"'appliance |--[a-z]{4,}")


def test_no_refusal_that_a_page_can_meet_names_a_command(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    appliance = open_appliance(settings)
    datasets, models = appliance.datasets, appliance.models
    wider, odd = tmp_path / "wider.csv", tmp_path / "odd.csv"
    lines = PENGUINS.read_text(encoding="utf-8").splitlines()
    wider.write_text("\n".join(line + ("," + ("more" if at == 0 else "1")) for at, line in enumerate(lines)))
    odd.write_text("a,b\n1,2\n")
    datasets.add("penguins", str(PENGUINS), who="test")
    models.create(ModelSpec(name="beaks", dataset="penguins", target="species"), who="test")
    attempts: dict[str, Callable[[], object]] = {
        "a column more": lambda: datasets.add("penguins", str(wider), append=True, who="test"),
        "other columns": lambda: datasets.add("penguins", str(odd), append=True, who="test"),
        "no such dataset": lambda: datasets.show("none"),
        "no card": lambda: models.card("beaks"),
        "nothing on trial": lambda: appliance.deployments.promote("beaks", who="test"),
        "no such key": lambda: appliance.access.revoke_key("none", who="test"),
    }
    try:
        for what, attempt in attempts.items():
            with pytest.raises((ApplianceError, StorageError)) as refused:
                attempt()
            assert COMMAND.search(str(refused.value)), f"{what}: no longer one to be put into the page's words"
            assert not COMMAND.search(in_clicks(str(refused.value))), what
    finally:
        appliance.jobs.close()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("write it as a text where it is an id, or read it as one: --type 'id=string'",
         "or choose text for the column where the file is shown before it is saved"),
        ("numbers so large are mostly ids, which a text keeps: --type id=string, or --query 'SELECT 1 FROM source'",
         "which a text keeps: choose text for the column where the file is shown before it is saved"),
        ("or read it as one: --type 'my id=string'. See 'appliance data feeds'.",
         "before it is saved. See New rows of the dataset."),
        ("keeps: --type 'my id=string', or --query 'SELECT 1 FROM source'. See 'appliance data feeds'.",
         "before it is saved. See New rows of the dataset."),
        ("bring it as text where it is an id, with --type id=string or a query that casts it",
         "saved where it is an id, or bring it with a query that casts it"),
        ("read what it says; 'appliance backup list' shows what there is to go back to.",
         "read what it says; Settings, Backup shows what there is to go back to."),
        ("write its dates like 2026-01-31, or, where they are a dataset's, read all of its rows anew with --replace",
         "or, where they are a dataset's, choose New version with these rows alone"),
        ("refresh it with --evolve to take the source's columns",
         "declare the schedule again with Take other columns than those that are there"),
        ("the dataset 'a' watches /srv; end that first with 'appliance data feeds --stop a'",
         "end that first with Stop it under New rows"),
        ("3 rows were rejected; 'appliance data rejected a --version 2' shows them with the reasons",
         "Rules of the dataset shows them with the reasons"),
        ("version 2 of 'm' is the champion; name another as the canary with --version",
         "choose another version as the canary"),
        ("free space ('appliance retention --dry-run' shows what may go)", "(Settings, Retention shows what may go)"),
        ("make columns of it with --prepare", "make columns of it with --prepare"),
    ],
)  # fmt: skip
def test_each_place_is_called_as_it_is_on_the_page(said: str, shown: str) -> None:
    assert in_clicks(said).endswith(shown)
