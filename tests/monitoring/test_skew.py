"""Training-serving skew: a deployment is proved over HTTP without leaving a trace, and its first rows are judged."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
import msgspec
import polars as pl
import pytest
from msgspec.structs import replace

from appliance.house import prepare_state
from appliance.model_spec import ModelSpec
from appliance.monitoring.monitoring import Monitoring
from appliance.monitoring.skew import LIVE_ROWS, SkewWatch, compare_answers, finding_of
from appliance.monitoring.spans import State
from appliance.monitoring.watch import Watch, watch_once
from appliance.rehearsal import HEADER, sign
from appliance.schema import FeatureSchema, Task
from appliance.settings import Settings
from appliance.training.bundle import reference_file
from appliance.training.train import TrainedModel, train
from storage.bundles import Manifest, publish_bundle, replace_durably
from storage.deployment_rows import NewDeployment, end_deployment, put_deployment
from storage.skew_rows import find_skew
from tests.model_bundles import deploy
from tests.monitoring.test_trained_model import Silent
from tests.served_api import ServedApi, free_port, serve_api

ADULT = Path(__file__).parents[1] / "data/adult.parquet"


@pytest.fixture(scope="module")
def trained() -> TrainedModel:
    frame = pl.read_parquet(ADULT).drop("split").head(3000)
    spec = ModelSpec(name="income", dataset="adult", target="income", rounds=20, params={"num_leaves": 7})
    return train(spec, frame, incumbent=None, threads=lambda: 1, progress=Silent())


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A deployed model behind a real API, and the watch loop's view of it."""

    api: ServedApi
    settings: Settings
    watch: Watch
    skew: SkewWatch

    def look(self) -> int:
        """A look, however short after the last one."""
        self.skew._looked = -1e9
        return self.skew.look()

    def events(self) -> list[bytes]:
        paths = (self.settings.layout.events / "predictions").glob("*.ndjson")
        return [line for path in paths for line in path.read_bytes().splitlines()]


def publish(settings: Settings, trained: TrainedModel, version: int = 1) -> None:
    """Publish a version as training does."""
    manifest = Manifest(
        model="income", version=version, task=Task.BINARY, created_at="2026-03-01T00:00:00Z", run_id="r",
        dataset="adult", dataset_version=1, code_version="0", files={},
    )  # fmt: skip
    schema = replace(trained.schema, version=version)
    files = {
        "model.txt": trained.fitted.text.encode(), "schema.json": msgspec.json.encode(schema),
        "reference.json": reference_file(trained), "golden.json": msgspec.json.encode(trained.golden),
        "card.json": b"{}",
    }  # fmt: skip
    publish_bundle(settings.layout, manifest, files)


@pytest.fixture
def served(tmp_path: Path, trained: TrainedModel) -> Iterator[Served]:
    settings = Settings(state=tmp_path / "state", api_port=free_port())
    prepare_state(settings)
    publish(settings, trained)
    deploy(settings.layout, {"income": 1})
    watch = Watch(settings.layout)
    with serve_api(settings.layout) as api:
        api.wait_until_serving("income", 1)
        told = settings.model_copy(update={"api_port": api.port})
        yield Served(api=api, settings=told, watch=watch, skew=SkewWatch(told, watch.connection, watch.versions))
    watch.close()


def begin(served: Served, role: str = "champion", version: int = 1, *, replaces: int | None = None) -> int:
    new = NewDeployment(
        model="income", version=version, role=role, who="test", reason="", started_at=datetime.now(UTC)
    )  # fmt: skip
    begun = put_deployment(served.watch.connection, new, replaces=replaces)
    assert begun
    return begun.id


def tell(served: Served, **roles: int) -> None:
    """Which versions the API is to serve beside version 1."""
    content = {"revision": 2, "models": {"income": {"champion": 1, **roles}}}
    replace_durably(served.settings.layout.deployments, msgspec.json.encode(content))


def prove(served: Served, deployment: int) -> None:
    """Look until a deployment's rows were replayed; the API may not serve it yet."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        served.look()
        row = find_skew(served.watch.connection, deployment)
        if row is not None and row.replay:
            return
        time.sleep(0.05)
    raise AssertionError(f"deployment {deployment} was not proved")


def spoil(served: Served, version: int = 1) -> Callable[[], None]:
    """Make one of training's answers another; gives what puts it right."""
    path = served.settings.layout.models / "income" / str(version) / "golden.json"
    sound = path.read_bytes()
    golden = msgspec.json.decode(sound)
    golden["outputs"][3][0] += 1e-6
    path.write_bytes(msgspec.json.encode(golden))

    def mend() -> None:
        path.write_bytes(sound)

    return mend


def open_alerts(served: Served) -> list[str]:
    return [one.message[:21] for one in Monitoring(served.settings).alerts(open_only=True)]


def test_a_sound_deployment_is_proved_and_leaves_no_trace(served: Served, trained: TrainedModel) -> None:
    begin(served)
    assert served.look() == 0
    (row,) = Monitoring(served.settings).skew("income")
    found = finding_of(row.replay)
    assert found is not None
    assert (found.state, found.rows) == (State.OK, len(trained.golden.rows))
    assert found.rows > 100
    assert found.worst is not None
    assert found.worst <= 1e-9
    assert row.live == ""
    assert served.events() == []
    metrics = served.api.client.get("/metrics").text
    assert 'appliance_predictions_total{model="income",version="1"} 0.0' in metrics
    assert 'appliance_requests_total{model="income",version="1",status="200"} 0.0' in metrics


def test_answers_unlike_the_trainings_open_an_alert_that_a_sound_deployment_closes(
    served: Served, trained: TrainedModel
) -> None:
    mend = spoil(served)
    begin(served)
    assert served.look() == 1
    monitoring = Monitoring(served.settings)
    (alert,) = monitoring.alerts()
    assert (alert.subject, alert.model, alert.state) == ("skew", "income", State.ALARM)
    assert (
        f"1 of {len(trained.golden.rows)} rows of the training are answered otherwise over HTTP, by up to 1e-06"
        in alert.message
    )
    assert "appliance rollback income" in monitoring.alert(alert.id).advice
    assert served.look() == 0, "it is proved once"
    mend()
    begin(served, replaces=1)
    assert served.look() == 1
    assert monitoring.alerts(open_only=True) == []


def test_a_sound_shadow_does_not_close_the_champions_alert(served: Served, trained: TrainedModel) -> None:
    spoil(served)
    champion = begin(served)
    served.look()
    publish(served.settings, trained, version=2)
    tell(served, shadow=2)
    prove(served, begin(served, "shadow", 2))
    assert open_alerts(served) == ["Version 1 as champion"]
    assert served.look() == 0
    tell(served, champion=2)
    begin(served, version=2, replaces=champion)
    assert served.look() == 1, "version 1 serves no more"
    assert open_alerts(served) == []


def test_what_is_still_wrong_is_told_again_once_what_came_later_serves_no_more(
    served: Served, trained: TrainedModel
) -> None:
    spoil(served)
    begin(served)
    served.look()
    publish(served.settings, trained, version=2)
    tell(served, shadow=2)
    sound = begin(served, "shadow", 2)
    prove(served, sound)
    spoil(served, 2)
    shadow = begin(served, "shadow", 2, replaces=sound)
    prove(served, shadow)
    assert open_alerts(served) == ["Version 2 as shadow: "]
    assert end_deployment(served.watch.connection, shadow, datetime.now(UTC))
    assert served.look() == 2
    assert open_alerts(served) == ["Version 1 as champion"]
    assert served.look() == 0


def test_an_alert_waits_for_the_proof_of_the_next_deployment(served: Served) -> None:
    spoil(served)
    first = begin(served)
    served.look()
    begin(served, replaces=first)
    elsewhere = served.settings.model_copy(update={"api_port": free_port()})
    assert SkewWatch(elsewhere, served.watch.connection, served.watch.versions).look() == 0
    assert open_alerts(served) == ["Version 1 as champion"]


def test_rows_that_the_api_refuses_open_an_alert(served: Served) -> None:
    path = served.settings.layout.models / "income" / "1" / "golden.json"
    golden = msgspec.json.decode(path.read_bytes())
    del golden["rows"][0]["age"]
    path.write_bytes(msgspec.json.encode(golden))
    begin(served)
    assert served.look() == 1
    (alert,) = Monitoring(served.settings).alerts()
    assert "The API refused rows of the training, HTTP 4" in alert.message
    assert "age" in alert.message


def test_an_api_that_does_not_answer_is_asked_again(served: Served) -> None:
    begin(served)
    elsewhere = served.settings.model_copy(update={"api_port": free_port()})
    assert SkewWatch(elsewhere, served.watch.connection, served.watch.versions).look() == 0
    (row,) = Monitoring(served.settings).skew("income")
    assert row.replay == ""
    served.look()
    assert Monitoring(served.settings).skew("income")[0].replay


def test_an_api_that_hangs_holds_the_watch_loop_up_once(served: Served) -> None:
    begin(served)
    beside = NewDeployment(
        model="income", version=1, role="canary", who="test", reason="", started_at=datetime.now(UTC), percent=5
    )
    assert put_deployment(served.watch.connection, beside, replaces=None)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        elsewhere = served.settings.model_copy(update={"api_port": silent.getsockname()[1]})
        assert SkewWatch(elsewhere, served.watch.connection, served.watch.versions).look() == 0
        silent.setblocking(False)
        silent.accept()[0].close()
        with pytest.raises(BlockingIOError):
            silent.accept()


def test_the_first_live_rows_are_judged_once(served: Served, trained: TrainedModel) -> None:
    begin(served)
    served.look()
    rows = pl.read_parquet(ADULT).drop("split", "income").tail(LIVE_ROWS + 20).with_columns(pl.col("age") + 30)
    sent = msgspec.to_builtins(rows.to_dicts())
    served.api.client.post("/models/income/predict", json={"rows": sent[: LIVE_ROWS - 1]}).raise_for_status()
    watch_once(served.watch)
    assert served.look() == 0
    served.api.client.post("/models/income/predict", json={"rows": sent[LIVE_ROWS - 1 : LIVE_ROWS]}).raise_for_status()
    watch_once(served.watch)
    assert served.look() == 1
    (row,) = Monitoring(served.settings).skew("income")
    found = finding_of(row.live)
    assert found is not None
    assert found.rows == LIVE_ROWS
    assert found.state in {State.WARN, State.ALARM}
    assert "`age` moved" in found.sentence
    assert served.look() == 0
    publish(served.settings, trained, version=2)
    tell(served, shadow=2)
    prove(served, begin(served, "shadow", 2))
    assert open_alerts(served) == ["Version 1 as champion"], "a sound shadow says nothing about the champion's callers"


def test_a_caller_cannot_ask_without_a_trace(served: Served) -> None:
    body = msgspec.json.encode({"rows": [served.api.client.get("/models/income").json()["example"]]})
    other = msgspec.json.encode({"rows": [served.api.client.get("/models/income").json()["example"]] * 2})
    secret = served.settings.layout.secret.read_bytes()
    for forged in ("", "1", "0" * 32, sign(secret, other), sign(b"x" * 32, body)):
        headers = {HEADER: forged, "Content-Type": "application/json"}
        before = len(served.events())
        answer = served.api.client.post("/models/income/predict", content=body, headers=headers)
        assert answer.status_code == 200
        assert "x-capture" not in answer.headers
        assert len(served.events()) == before + 1
    headers = {HEADER: sign(secret, body), "Content-Type": "application/json"}
    answer = served.api.client.post("/models/income/predict", content=body, headers=headers)
    assert answer.headers["x-capture"] == "off"
    assert len(served.events()) == before + 1


def test_a_rehearsal_needs_a_key_too(served: Served) -> None:
    body = b'{"instances": [{}]}'
    headers = {HEADER: sign(served.settings.layout.secret.read_bytes(), body), "Content-Type": "application/json"}
    answer = httpx.post(f"{served.api.url}/v1/models/income:predict", content=body, headers=headers)
    assert answer.status_code == 401


@pytest.mark.parametrize(("off", "state"), [(0.0, State.OK), (1e-10, State.OK), (1e-8, State.ALARM)])
@pytest.mark.parametrize("size", [1.0, 1e6])
def test_answers_are_compared_relative_to_their_size(off: float, size: float, state: State) -> None:
    schema = FeatureSchema(model="m", version=1, task=Task.REGRESSION, target="y", columns=())
    assert compare_answers(schema, [[size], [0.5]], [size * (1 + off), 0.5]).state is state


def test_missing_answers_are_a_skew() -> None:
    schema = FeatureSchema(model="m", version=1, task=Task.MULTICLASS, target="y", columns=(), classes=("a", "b"))
    shares = {"prediction": "a", "probabilities": [0.75, 0.25]}
    assert compare_answers(schema, [[0.75, 0.25]], [shares]).state is State.OK
    assert compare_answers(schema, [[0.25, 0.75]], [shares]).state is State.ALARM
    assert compare_answers(schema, [[0.75, 0.25]] * 2, [shares]).sentence == "2 rows were sent, 1 came back."
