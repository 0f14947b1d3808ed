from __future__ import annotations

import gc
import resource
import shutil
import struct
import weakref
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from appliance.errors import NotFound, NotReady
from appliance.schema import Task
from appliance.serving.loaded_model import LoadedModel, load_model
from appliance.serving.router import Router
from storage.bundles import bundle_path, replace_durably
from storage.layout import Layout
from tests.model_bundles import deploy, numeric_columns, publish, train_model

COLUMNS = numeric_columns(2)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    found = Layout(root=tmp_path)
    found.create()
    for version in (1, 2):
        publish(found, train_model("m", version, task=Task.BINARY, columns=COLUMNS))
    return found


def test_nothing_is_deployed_at_first(layout: Layout) -> None:
    router = Router(layout)
    assert router.poll() is False
    with pytest.raises(NotFound, match="no model 'm' is deployed; deployed: none yet"):
        router.find("m")


def test_a_deployment_is_followed_once(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    assert router.has_changed()
    assert router.poll() is True
    assert not router.has_changed()
    assert router.poll() is False
    assert router.find("m").version == 1
    deploy(layout, {"m": 2}, revision=2)
    assert router.poll() is True
    assert router.find("m").version == 2
    assert router.current.revision == 2


def test_an_unchanged_version_is_not_loaded_again(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    before = router.find("m")
    deploy(layout, {"m": 1}, revision=2)
    router.poll()
    assert router.find("m") is before


def test_a_refused_bundle_leaves_the_old_version_serving_and_says_so(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    (bundle_path(layout, "m", 2) / "model.txt").write_bytes(b"tree\n")
    deploy(layout, {"m": 2}, revision=2)
    router.poll()
    assert router.find("m").version == 1
    assert router.current.routes["m"].wanted == 2
    assert "differs from its manifest" in router.current.routes["m"].refused


def test_a_refused_bundle_is_tried_again_when_its_files_change(layout: Layout) -> None:
    router = Router(layout)
    model = bundle_path(layout, "m", 2) / "model.txt"
    content = model.read_bytes()
    model.write_bytes(content + b"\n")
    deploy(layout, {"m": 1})
    router.poll()
    deploy(layout, {"m": 2}, revision=2)
    router.poll()
    assert not router.has_changed()
    assert router.poll() is False
    model.write_bytes(content)
    assert router.has_changed()
    router.poll()
    assert router.find("m").version == 2
    assert router.current.refusals == []


@pytest.mark.parametrize("error", [NotReady("this LightGBM has another C API"), MemoryError(), struct.error("short")])
def test_whatever_keeps_a_version_from_loading_the_others_serve(layout: Layout, error: Exception) -> None:
    publish(layout, train_model("n", 1, task=Task.BINARY, columns=COLUMNS))

    def load(where: Layout, name: str, version: int) -> LoadedModel:
        if (name, version) == ("m", 2):
            raise error
        return load_model(where, name, version)

    router = Router(layout, load=load)
    deploy(layout, {"m": 1})
    router.poll()
    deploy(layout, {"m": 2, "n": 1}, revision=2)
    router.poll()
    assert (router.find("m").version, router.find("n").version) == (1, 1)
    (refusal,) = router.current.refusals
    assert (refusal.model, refusal.role, refusal.version, refusal.serving) == ("m", "champion", 2, 1)
    assert refusal.reason == (str(error) or repr(error))


def test_a_first_version_that_is_refused_is_not_ready(layout: Layout) -> None:
    deploy(layout, {"m": 9})
    router = Router(layout)
    router.poll()
    with pytest.raises(NotReady, match="version 9 was refused"):
        router.find("m")


def test_other_versions_and_models_are_not_found_and_the_known_ones_are_named(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    with pytest.raises(NotFound, match="version 2 is not deployed; deployed: version 1"):
        router.find("m", 2)
    with pytest.raises(NotFound, match="no model 'x' is deployed; deployed: m"):
        router.find("x")


@pytest.mark.parametrize("content", [b"{", b'{"models":{}}', b"[]", b'{"revision":"x","models":{}}'])
def test_a_file_that_cannot_be_read_changes_nothing_but_is_told(layout: Layout, content: bytes) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    layout.deployments.write_bytes(content)
    assert router.poll() is False
    assert router.find("m").version == 1
    assert "cannot read" in router.current.problem
    deploy(layout, {"m": 2}, revision=3)
    router.poll()
    assert not router.current.problem


def test_a_copy_beside_the_bundles_stops_nothing(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    shutil.copytree(bundle_path(layout, "m", 1), layout.models / "m" / "1.bak")
    deploy(layout, {"m": 2}, revision=2)
    assert router.poll() is True
    assert router.find("m").version == 2
    assert Router(layout).poll() is True
    assert not router.current.problem


def test_a_file_that_cannot_be_opened_is_tried_again(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    deploy(layout, {"m": 2}, revision=2)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        assert router.poll() is False
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in router.current.problem
    assert router.find("m").version == 1
    assert router.has_changed()
    assert router.poll() is True
    assert (router.find("m").version, router.current.problem) == (2, "")
    assert not router.has_changed()


def test_a_model_that_cannot_be_followed_stops_no_other_and_is_told_until_it_can(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1, "no\0path": 1})
    router.poll()
    assert router.find("m").version == 1
    assert "cannot follow the deployment of model 'no\\x00path'" in router.current.problem
    before = router.find("m")
    assert router.has_changed()
    router.poll()
    assert router.find("m") is before
    deploy(layout, {"m": 2}, revision=2)
    router.poll()
    assert (router.find("m").version, router.current.problem) == (2, "")
    assert not router.has_changed()


def test_a_withdrawn_model_is_gone_and_its_memory_too(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    booster = weakref.ref(router.find("m").booster)
    deploy(layout, {}, revision=2)
    assert router.poll() is True
    gc.collect()
    assert booster() is None


def test_a_file_that_is_missing_withdraws_nothing_and_is_told(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    content = layout.deployments.read_bytes()
    layout.deployments.unlink()
    assert router.has_changed()
    assert router.poll() is False
    assert not router.has_changed()
    assert router.find("m").version == 1
    (refusal,) = router.current.refusals
    assert refusal.reason == f"{layout.deployments} is missing; run 'appliance deploy' again"
    layout.deployments.write_bytes(content)
    assert router.poll() is True
    assert router.current.refusals == []


def test_a_file_that_cannot_be_looked_at_withdraws_nothing(layout: Layout) -> None:
    router = Router(layout)
    deploy(layout, {"m": 1})
    router.poll()
    aside = layout.deployments.rename(layout.models / "aside")
    layout.deployments.symlink_to(layout.deployments)
    assert router.poll() is False
    assert router.find("m").version == 1
    assert "Too many levels of symbolic links" in router.current.problem
    aside.replace(layout.deployments)
    assert router.poll() is True
    assert (router.find("m").version, router.current.problem) == (1, "")


def deploy_roles(layout: Layout, revision: int = 1, **roles: int) -> None:
    replace_durably(layout.deployments, msgspec.json.encode({"revision": revision, "models": {"m": roles}}))


def routed(layout: Layout, **roles: int) -> Router:
    deploy_roles(layout, **roles)
    router = Router(layout)
    router.poll()
    return router


KEYS = [f"customer-{number}" for number in range(4000)]


def canary_keys(router: Router) -> set[str]:
    return {key for key in KEYS if router.choose("m", key).role == "canary"}


def test_without_a_canary_the_champion_answers_everybody(layout: Layout) -> None:
    router = routed(layout, champion=1)
    assert not canary_keys(router)
    choice = router.choose("m")
    assert (choice.model.version, choice.role, choice.shadow) == (1, "champion", None)


@pytest.mark.parametrize("percent", [1, 10, 50, 99])
def test_a_canary_answers_its_share_of_the_keys_always_the_same_ones(layout: Layout, percent: int) -> None:
    router = routed(layout, champion=1, canary=2, percent=percent)
    found = canary_keys(router)
    share = percent / 100
    # Five standard deviations of a binomial; the keys are fixed, so that this holds always or never.
    assert abs(len(found) - share * len(KEYS)) <= 5 * (share * (1 - share) * len(KEYS)) ** 0.5
    assert canary_keys(routed(layout, champion=1, canary=2, percent=percent)) == found
    assert {router.choose("m", key).model.version for key in found} == {2}


def test_a_larger_percentage_only_adds_keys(layout: Layout) -> None:
    found = [canary_keys(routed(layout, champion=1, canary=2, percent=percent)) for percent in (0, 5, 20, 60, 100)]
    assert found[0] == set()
    assert all(fewer < more for fewer, more in pairwise(found))
    assert found[-1] == set(KEYS)


def test_without_a_key_chance_decides(layout: Layout) -> None:
    router = routed(layout, champion=1, canary=2, percent=50)
    assert {router.choose("m").model.version for _ in range(200)} == {1, 2}


def test_every_role_can_be_addressed_and_a_shadow_never_answers_unasked(layout: Layout) -> None:
    publish(layout, train_model("m", 3, task=Task.BINARY, columns=COLUMNS))
    router = routed(layout, champion=1, canary=2, percent=100, shadow=3)
    assert [router.find("m", version).version for version in (1, 2, 3)] == [1, 2, 3]
    assert router.find("m").version == 1
    choice = router.choose("m", "k")
    assert choice.model.version == 2
    assert choice.shadow is not None
    assert choice.shadow.version == 3


def test_a_promoted_canary_is_not_loaded_again(layout: Layout) -> None:
    router = routed(layout, champion=1, canary=2, percent=10)
    before = router.find("m", 2)
    deploy_roles(layout, 2, champion=2)
    router.poll()
    assert router.find("m") is before
    with pytest.raises(NotFound, match="version 1 is not deployed; deployed: version 2"):
        router.find("m", 1)


@pytest.mark.parametrize("role", ["canary", "shadow"])
def test_a_refused_canary_or_shadow_leaves_the_champion_answering_all(layout: Layout, role: str) -> None:
    (bundle_path(layout, "m", 2) / "model.txt").write_bytes(b"tree\n")
    router = routed(layout, champion=1, percent=100, **{role: 2})
    choice = router.choose("m", "k")
    assert (choice.model.version, choice.shadow) == (1, None)
    assert "differs from its manifest" in router.current.routes["m"].refusals[role].reason
    assert not router.current.routes["m"].refused


def test_roles_that_this_release_does_not_know_do_not_stop_the_champion(layout: Layout) -> None:
    layout.deployments.write_bytes(b'{"revision":1,"models":{"m":{"champion":1,"understudy":{"version":2}},"n":{}}}')
    router = Router(layout)
    router.poll()
    assert router.find("m").version == 1
    assert list(router.current.routes) == ["m"]
