"""The quality tab while no labels came; with NiceGUI's own elements over a trained model."""

from __future__ import annotations

from html import unescape
from pathlib import Path

import pytest

from appliance.model_spec import ModelSpec
from storage.bundles import bundle_path
from tests.training.rows import made_up
from tests.training.state import add, new_appliance, train_now
from tests.ui.test_view import run, words
from ui.page import View
from ui.pages.quality_tab import show_quality

DAY_S = 86_400


@pytest.mark.parametrize("damage", [b"{", None])
def test_how_labels_are_sent_is_told_also_where_the_bundle_is_damaged(
    damage: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    house = new_appliance(tmp_path / "state")
    add(house, "data", made_up())
    train_now(house, ModelSpec(name="m", dataset="data", target="y", rounds=5, deploy="auto"))
    house.jobs.close()
    card = bundle_path(house.settings.layout, "m", 1) / "card.json"
    if damage is None:
        card.unlink()
    else:
        card.write_bytes(damage)

    async def test(view: View) -> None:
        await show_quality(view, "m", DAY_S)
        assert "No labels in this window" in words()
        assert '"label": 12.5' in unescape(words())

    run(test, tmp_path, monkeypatch)
