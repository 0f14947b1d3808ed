"""The dashboard's process: nothing heavy is loaded that no page uses."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from nicegui import Client, core
from nicegui import ui as ng
from starlette.requests import Request

from storage.datasets import IngestInfo
from storage.ingest import ingest
from storage.layout import Layout
from ui.memory import let_go


def modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(*(n for n, m in sys.modules.items() if m is not None))"],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    return set(done.stdout.split())


def test_the_state_is_prepared_without_pandas() -> None:
    loaded = modules_after("from ui.memory import *; refuse_unused(); import storage.migrations, pyarrow, polars")
    assert "sqlite_utils" in loaded
    assert "pandas" not in loaded


def test_pyarrow_and_polars_do_without() -> None:
    """Pyarrow looks for pandas in the first table it makes of something that is none, polars where it is imported."""
    code = (
        "from ui.memory import *; refuse_unused(); import polars as pl, pyarrow as pa\n"
        "assert pa.table(pl.DataFrame({'x': [1, 2]}))['x'].to_pylist() == [1, 2]\n"
        "assert pl.DataFrame({'x': [1, 2]}).to_dicts() == [{'x': 1}, {'x': 2}]"
    )
    assert "pandas" not in modules_after(code)


def test_the_pages_load_neither_lightgbm_nor_mlflow_nor_scikit_learn() -> None:
    loaded = modules_after("from ui.memory import *; refuse_unused(); import ui.dashboard")
    assert loaded.isdisjoint({"lightgbm", "mlflow", "sklearn", "pandas", "prefect", "redis", "aiohttp", "requests"})
    assert not {name for name in loaded if name.startswith("scipy")}, "45 MB; what judges drift loads a part of it"


def test_datasets_are_looked_at_without_what_reads_and_writes_their_rows(tmp_path: Path) -> None:
    layout = Layout(root=tmp_path / "state")
    layout.create()
    ingest(
        layout,
        "d",
        pl.DataFrame({"x": [3, 1, 2, 5] * 15, "y": [1.5, 2.5] * 30}),
        append=False,
        info=IngestInfo(who="ada", source="a frame"),
    )
    code = (
        "from ui.memory import *; refuse_unused(); import ui.dashboard\n"
        "from pathlib import Path; from appliance.house import open_appliance, prepare_state\n"
        "from appliance.settings import Settings\n"
        f"settings = Settings(state=Path({str(layout.root)!r})); prepare_state(settings)\n"
        "appliance = open_appliance(settings, apart=True)\n"
        "assert appliance.datasets.versions('d') == appliance.datasets.list() == (appliance.datasets.show('d', 1),)\n"
        "assert appliance.datasets.preview('d')['x'].to_list() == [3, 1, 2, 5] * 15\n"
        "assert appliance.datasets.findings('d') is not None and len(appliance.datasets.profile('d')) == 2\n"
        "assert appliance.models.create(appliance.models.propose('d', 'y').spec, who='ada')\n"
        "assert not appliance.monitoring.alerts() and not appliance.feeds.list()\n"
        "appliance.close()"
    )
    assert modules_after(code).isdisjoint({"duckdb", "pyarrow", "deltalake", "lightgbm", "scipy", "pandas"})


def test_what_is_garbage_is_found_between_pages_and_never_while_one_is_drawn() -> None:
    code = (
        "import gc, weakref; from ui.memory import settle, sweep; settle(); looks = gc.get_stats()[2]['collections']\n"
        "class Page: pass\n"
        "old = Page(); old.itself = old; gc.collect(1); gc.collect(1); went = weakref.ref(old); del old\n"
        "more = [[] for _ in range(300_000)]\n"
        "assert gc.get_stats()[2]['collections'] == looks, 'not of itself'\n"
        "assert went() is not None; sweep(); assert went() is None\n"
        "looks = gc.get_stats()[2]['collections']; sweep(); assert gc.get_stats()[2]['collections'] == looks"
    )
    assert "ui.memory" in modules_after(code)


def test_a_page_that_was_left_goes_at_once_and_one_whose_connection_is_lost_stays_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def check() -> None:
        monkeypatch.setattr(core, "loop", asyncio.get_running_loop())  # NiceGUI runs its tasks in its server's
        page = ng.page("/left", reconnect_timeout=10.0)
        request = Request({"type": "http", "method": "GET", "path": "/left", "headers": [], "query_string": b""})
        left, lost = Client(page, request=request), Client(page, request=request)
        for client in (left, lost):
            await client.handle_handshake(f"socket of {client.id}", client.id, None, "document", 0)
        let_go(left)
        for client in (left, lost):
            client.handle_disconnect(f"socket of {client.id}")
        for _ in range(5):
            await asyncio.sleep(0)
        assert (left.is_deleted, lost.is_deleted) == (True, False)
        lost.delete()

    asyncio.run(check())
