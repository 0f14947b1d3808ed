"""A version goes from one box to another: signed there, proved here; whatever was changed on the way is refused."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from appliance.access import Access
from appliance.errors import BadInput, BundleRefused, Conflict, NotAllowed, NotFound
from appliance.house import Appliance
from appliance.model_spec import ModelSpec
from appliance.processes.doctor_state import check_permissions
from appliance.serving.loaded_model import load_model
from appliance.signing import fingerprint
from storage.bundles import list_bundles
from storage.errors import StateUnwritable
from storage.signed_bundles import MOST_FILES
from tests.training.rows import made_up
from tests.training.state import add, new_appliance, train_now

SPEC = ModelSpec(name="m", dataset="data", target="y", rounds=10, schedule="0 3 * * *")
ROWS: list[dict[str, Any]] = made_up(20).drop("y").to_dicts()


@pytest.fixture(scope="module")
def factory(tmp_path_factory: pytest.TempPathFactory) -> Appliance:
    """The box that trains."""
    house = new_appliance(tmp_path_factory.mktemp("factory") / "state")
    add(house, "data", made_up())
    train_now(house, SPEC)
    return house


@pytest.fixture
def edge(tmp_path: Path) -> Appliance:
    """A box that has nothing yet."""
    return new_appliance(tmp_path / "edge")


@pytest.fixture(scope="module")
def file(factory: Appliance, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factory.transfer.export("m", out=tmp_path_factory.mktemp("usb"), who="ada").path


def trust(edge: Appliance, factory: Appliance) -> None:
    edge.transfer.trust("factory", factory.transfer.signing.key, who="bob")


def predictions(house: Appliance, name: str, version: int) -> list[float]:
    model = load_model(house.settings.layout, name, version)
    return model.score(model.encoder.encode(ROWS).matrix)[0]


def test_a_version_arrives_proved_and_predicts_the_same(factory: Appliance, edge: Appliance, file: Path) -> None:
    assert file.name == "m-1.bundle"
    trust(edge, factory)
    came = edge.transfer.import_file(file, who="bob")
    assert (came.model, came.version, came.alias, came.is_new) == ("m", 1, "champion", True)
    assert (came.origin.box, came.origin.version) == ("factory", 1)
    assert predictions(edge, "m", 1) == predictions(factory, "m", 1)
    info = edge.models.get("m")
    assert (info.champion, info.deployed, info.spec.schedule) == (1, None, None)
    (version,) = edge.models.versions("m")
    there = factory.models.versions("m")[0]
    assert (version.metrics, version.created_at) == (there.metrics, there.created_at), "when it was trained"
    assert version.gate.reasons == ("imported from factory, where it is version 1 of 'm'; the first version here",)
    assert edge.models.card("m").run_id == version.run_id != factory.models.card("m").run_id
    edge.deployments.deploy("m", who="bob")
    assert edge.models.get("m").deployed == 1
    actions = [row.entry.action for row in Access(edge.settings).audit()]
    assert {"bundle.trust", "bundle.import"} <= set(actions)


@pytest.mark.parametrize("there", ["nothing", "a dataset of the same name"])
def test_an_imported_version_is_tried_with_a_row_that_came_with_it(
    factory: Appliance, edge: Appliance, file: Path, there: str
) -> None:
    trust(edge, factory)
    if there != "nothing":
        add(edge, "data", made_up().with_columns(x=-1.0).drop("color"))
    edge.transfer.import_file(file, who="bob")
    example = edge.trial.example("m", 1)
    assert example == factory.trial.example("m", 1)
    assert list(example.row) == [one.name for one in example.schema.columns]
    assert example.row in made_up().drop("y").to_dicts()


def test_the_same_file_twice_is_one_version(factory: Appliance, edge: Appliance, file: Path) -> None:
    trust(edge, factory)
    first = edge.transfer.import_file(file, who="bob")
    again = edge.transfer.import_file(file, who="bob")
    assert (again.version, again.alias, again.is_new) == (first.version, "champion", False)
    assert list_bundles(edge.settings.layout, "m") == [1]
    own = factory.transfer.import_file(file, who="ada")
    assert (own.version, own.origin.box, own.is_new) == (1, "this box", False)


def test_the_next_version_is_a_challenger_and_another_name_is_another_model(
    factory: Appliance, edge: Appliance, file: Path, tmp_path: Path
) -> None:
    trust(edge, factory)
    edge.transfer.import_file(file, who="bob")
    report = train_now(factory, msgspec.structs.replace(SPEC, rounds=12))
    newer = factory.transfer.export("m", report.version, out=tmp_path / "newer", who="ada").path
    came = edge.transfer.import_file(newer, who="bob")
    assert (came.version, came.alias) == (2, "challenger")
    assert "not compared with version 1" in edge.models.versions("m")[0].gate.reasons[1]
    assert edge.models.get("m").champion == 1
    other = edge.transfer.import_file(newer, who="bob", name="other")
    assert (other.model, other.version, other.alias) == ("other", 1, "champion")
    assert predictions(edge, "other", 1) == predictions(factory, "m", report.version)
    assert load_model(edge.settings.layout, "other", 1).schema.model == "other"


def test_only_a_trusted_box_is_believed(factory: Appliance, edge: Appliance, file: Path) -> None:
    with pytest.raises(NotAllowed, match="not trusted here") as refused:
        edge.transfer.import_file(file, who="bob")
    key = factory.transfer.signing.key
    assert fingerprint(key) in str(refused.value)
    assert f"appliance bundle trust NAME {key}" in str(refused.value)
    trust(edge, factory)
    trust(edge, factory)
    edge.transfer.import_file(file, who="bob")
    assert [known.name for known in edge.transfer.signing.trusted()] == ["factory"]
    edge.transfer.distrust("factory", who="bob")
    with pytest.raises(NotAllowed, match="not trusted here"):
        edge.transfer.import_file(file, who="bob", name="again")
    with pytest.raises(NotFound, match="trusted: none"):
        edge.transfer.distrust("factory", who="bob")


def test_a_name_keeps_its_key(factory: Appliance, edge: Appliance) -> None:
    trust(edge, factory)
    with pytest.raises(Conflict, match="appliance bundle distrust factory"):
        edge.transfer.trust("factory", edge.transfer.signing.key, who="bob")
    for name in ("../up", "", "A box"):
        with pytest.raises(BadInput, match="no name for a box"):
            edge.transfer.trust(name, factory.transfer.signing.key, who="bob")
    for key in ("", "ed25519:", "ed25519:AAAA", "rsa:AAAA", "ed25519:?" + "A" * 43):
        with pytest.raises(BadInput, match="no key of a box"):
            edge.transfer.trust("x", key, who="bob")


def test_the_private_key_is_made_once_and_is_private(factory: Appliance, edge: Appliance) -> None:
    first = edge.transfer.signing.key
    assert edge.transfer.signing.key == first != factory.transfer.signing.key
    path = edge.settings.layout.signing_key
    assert path.stat().st_mode & 0o777 == 0o600
    path.chmod(0o644)
    (check,) = check_permissions(edge.settings)
    assert (check.state, "signing.key" in check.message) == ("fail", True)


def members(file: Path) -> dict[str, bytes]:
    with tarfile.open(file) as archive:
        return {one.name: archive.extractfile(one).read() for one in archive}  # type: ignore[union-attr]


def pack(path: Path, contents: dict[str, bytes], *, more: tarfile.TarInfo | None = None) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for name, content in contents.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        if more is not None:
            archive.addfile(more)
    return path


def signed(factory: Appliance, contents: dict[str, bytes]) -> dict[str, bytes]:
    """The contents with a manifest that fits them, truly signed by the factory."""
    manifest = json.loads(contents["manifest.json"])
    files = {name: content for name, content in contents.items() if name not in {"manifest.json", "signature.json"}}
    manifest["files"] = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    text = json.dumps(manifest).encode()
    signature = {
        "key": factory.transfer.signing.key, "signature": factory.transfer.signing.sign(text), "made_on": "x"
    }  # fmt: skip
    return {**files, "manifest.json": text, "signature.json": json.dumps(signature).encode()}


def without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda contents: {key: content for key, content in contents.items() if key != name}


def with_text(name: str, old: bytes, new: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    def change(contents: dict[str, bytes]) -> dict[str, bytes]:
        assert old in contents[name]
        return {**contents, name: contents[name].replace(old, new)}

    return change


def golden_moved(contents: dict[str, bytes]) -> dict[str, bytes]:
    golden = json.loads(contents["golden.json"])
    golden["outputs"][0] = [value + 0.01 for value in golden["outputs"][0]]
    return {**contents, "golden.json": json.dumps(golden).encode()}


@pytest.mark.parametrize(
    ("change", "refusal"),
    [
        (with_text("model.txt", b"num_leaves", b"num_l3aves"), (BundleRefused, "model.txt differs from its manifest")),
        (with_text("manifest.json", b'"dataset": "data"', b'"dataset": "dat0"'), (NotAllowed, "changed after it was")),
        (with_text("signature.json", b'"signature":"', b'"signature":"AAAA'), (NotAllowed, "changed after it was")),
        (with_text("signature.json", b'"signature":"', b'"signature":"?'), (NotAllowed, "changed after it was")),
        (with_text("signature.json", b"ed25519:", b"rsa:"), (NotAllowed, "names no key")),
        (with_text("signature.json", b"{", b""), (BundleRefused, "cannot be read")),
        (without("signature.json"), (BundleRefused, "it has no signature.json")),
        (without("manifest.json"), (BundleRefused, "it has no manifest.json")),
        (without("golden.json"), (BundleRefused, "does not hold the files that its manifest names: golden.json")),
        (lambda contents: {**contents, "extra": b""}, (BundleRefused, "manifest names: extra")),
        (lambda contents: {**contents, "../up": b""}, (BundleRefused, "it holds '../up'")),
        (lambda contents: contents | {f"f{n}": b"" for n in range(MOST_FILES)}, (BundleRefused, "more than")),
    ],
)
def test_a_file_that_was_changed_on_the_way_is_refused(
    factory: Appliance, edge: Appliance, file: Path, tmp_path: Path,
    change: Callable[[dict[str, bytes]], dict[str, bytes]], refusal: tuple[type[Exception], str],
) -> None:  # fmt: skip
    trust(edge, factory)
    changed = pack(tmp_path / "changed", change(members(file)))
    with pytest.raises(refusal[0], match=refusal[1]):
        edge.transfer.import_file(changed, who="bob")
    assert edge.models.list() == ()
    assert list(edge.settings.layout.models.iterdir()) == []
    assert list(edge.settings.layout.tmp.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("golden.json"), "the bundle has no golden.json"),
        (golden_moved, "golden row 0"),
        (without("model.toml"), "the bundle has no model.toml"),
        (with_text("card.json", b"{", b"["), "the bundle cannot be read"),
        (with_text("model.toml", b"rounds", b"r0unds"), "newer release"),
        (with_text("manifest.json", b'"model": "m"', b'"model": "../../m"'), "several models"),
        (with_text("model.txt", b"leaf_value=", b"leaf_value=1"), "no model that LightGBM reads"),
    ],
)
def test_a_bundle_that_is_wrong_in_itself_is_refused_though_its_signature_is_true(
    factory: Appliance, edge: Appliance, file: Path, tmp_path: Path,
    change: Callable[[dict[str, bytes]], dict[str, bytes]], message: str,
) -> None:  # fmt: skip
    trust(edge, factory)
    wrong = pack(tmp_path / "wrong", signed(factory, change(members(file))))
    with pytest.raises(BundleRefused, match=message):
        edge.transfer.import_file(wrong, who="bob")
    assert edge.models.list() == ()
    assert list(edge.settings.layout.models.iterdir()) == []


def test_no_file_a_torn_one_and_another_kind_are_refused(
    factory: Appliance, edge: Appliance, file: Path, tmp_path: Path
) -> None:
    trust(edge, factory)
    with pytest.raises(NotFound, match="there is no file"):
        edge.transfer.import_file(tmp_path / "nothing", who="bob")
    torn = tmp_path / "torn"
    for content in (
        b"",
        b"text",
        file.read_bytes()[:500],
        file.read_bytes()[: file.stat().st_size // 2],
        gzip.compress(b"x" * 600),
    ):
        torn.write_bytes(content)
        with pytest.raises(BundleRefused):
            edge.transfer.import_file(torn, who="bob")
    link = tarfile.TarInfo("link")
    link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
    with pytest.raises(BundleRefused, match="it holds 'link'"):
        edge.transfer.import_file(pack(tmp_path / "linked", members(file), more=link), who="bob")


def test_another_target_needs_another_name(factory: Appliance, edge: Appliance, file: Path) -> None:
    trust(edge, factory)
    add(edge, "data", made_up().rename({"y": "z"}))
    train_now(edge, msgspec.structs.replace(SPEC, target="z"))
    with pytest.raises(Conflict, match="--as NAME"):
        edge.transfer.import_file(file, who="bob")


def test_what_cannot_be_exported_is_said(factory: Appliance, tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="no model"):
        factory.transfer.export("x", out=tmp_path, who="ada")
    with pytest.raises(NotFound, match="no published version 99"):
        factory.transfer.export("m", 99, out=tmp_path, who="ada")
    with pytest.raises(NotFound, match="no directory"):
        factory.transfer.export("m", out=tmp_path / "a" / "b", who="ada")
    with pytest.raises(StateUnwritable, match="cannot write"):
        factory.transfer.export("m", out=Path("/proc/m.bundle"), who="ada")
    first = factory.transfer.export("m", 1, out=tmp_path / "one", who="ada").path.read_bytes()
    assert factory.transfer.export("m", 1, out=tmp_path / "two", who="ada").path.read_bytes() == first
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one", "two"]
