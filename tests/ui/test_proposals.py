"""A declaration worked out in a process of its own is the one that is worked out here."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.errors import BadTable, NotFound
from appliance.house import open_appliance, prepare_state
from appliance.settings import Settings
from ui.proposals import propose_apart

PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"


def test_it_is_the_same_and_so_are_its_errors(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path / "state")
    prepare_state(settings)
    appliance = open_appliance(settings)
    appliance.datasets.add("penguins", str(PENGUINS), who="test")
    apart = propose_apart(settings, "penguins", "species", name="kinds")
    assert apart == appliance.models.propose("penguins", "species", name="kinds")
    with pytest.raises(NotFound, match="nothing"):
        propose_apart(settings, "nothing", "species", name="kinds")
    with pytest.raises(BadTable, match="colour"):
        propose_apart(settings, "penguins", "colour", name="kinds")
