"""Rules of a dataset, from their declaration to the rows that they kept apart."""

from __future__ import annotations

from pathlib import Path

import pytest

from appliance.access import Access
from appliance.datasets import Datasets
from appliance.errors import BadInput, NotFound
from appliance.findings import Code
from appliance.orders import Ingest, Unchanged
from appliance.settings import Settings

PENGUINS = Path(__file__).parents[1] / "data" / "penguins.csv"
RULES = """
[columns.bill_length_mm]
min = 33
required = true
[columns.sex]
values = ["male", "female"]
"""


def test_real_rows_are_kept_apart_and_told(datasets: Datasets, settings: Settings) -> None:
    declared = datasets.declare_rules("penguins", RULES, who="ann")
    assert datasets.rules("penguins") == declared
    entry = Access(settings).audit()[0].entry
    assert (entry.action, entry.subject, entry.detail) == ("dataset.rules", "penguins", "of bill_length_mm, sex")
    added = datasets.add("penguins", str(PENGUINS), who="ann")
    apart = datasets.rejected("penguins")
    assert (added.rows + apart.height, apart.height) == (344, datasets.show("penguins").rejected)
    assert set(apart["_reason"]) >= {"bill_length_mm: missing", "bill_length_mm: 32.1 is below 33"}
    told = [finding for finding in added.warnings if finding.code is Code.REJECTED]
    assert told[0].message == (
        f"{apart.height} rows were rejected by the dataset's rules; 'appliance data rejected penguins --version 1' "
        "shows them with the reasons"
    )
    assert datasets.preview("penguins", rows=400)["bill_length_mm"].min() == 33.1
    assert datasets.rejected("penguins", rows=1).height == 1


def test_new_rules_make_a_refresh_read_the_same_bytes_again(datasets: Datasets) -> None:
    datasets.add("penguins", str(PENGUINS), who="ann")
    assert isinstance(datasets.refresh("penguins", who="ann"), Unchanged)
    datasets.declare_rules("penguins", RULES, who="ann")
    assert isinstance(datasets.refresh("penguins", who="ann"), Ingest)
    assert isinstance(datasets.refresh("penguins", who="ann"), Unchanged)
    datasets.declare_rules("penguins", None, who="ann")
    found = datasets.refresh("penguins", who="ann")
    assert isinstance(found, Ingest)
    assert found.rows == 344


def test_what_is_wrong_is_said_in_a_sentence(datasets: Datasets) -> None:
    with pytest.raises(BadInput, match=r"the rules name no column"):
        datasets.declare_rules("penguins", "", who="ann")
    with pytest.raises(BadInput, match=r"'No Name' cannot name a dataset"):
        datasets.declare_rules("No Name", RULES, who="ann")
    datasets.declare_rules("penguins", "[columns.nope]\nmin = 1", who="ann")
    with pytest.raises(BadInput, match=r"the rules name the column 'nope', which the rows lack"):
        datasets.add("penguins", str(PENGUINS), who="ann")
    with pytest.raises(NotFound):
        datasets.rejected("penguins")
