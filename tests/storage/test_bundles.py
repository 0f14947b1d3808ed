from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from storage.bundles import Manifest, bundle_path, list_bundles, publish_bundle, read_bundle, replace_durably
from storage.errors import BundleCorrupt, BundleNotFound, StateUnwritable
from storage.layout import Layout
from tests.storage.conftest import SmallDisk

FILES = {"model.txt": b"tree\n" * 100, "schema.json": b"{}"}


def manifest(version: int = 1) -> Manifest:
    return Manifest(
        model="bikes", version=version, task="regression", created_at="2026-11-21T00:00:00Z", run_id="r",
        dataset="bikes", dataset_version=1, code_version="0.1.0", files={},
    )  # fmt: skip


def test_a_published_bundle_reads_back_with_its_hashes(layout: Layout) -> None:
    publish_bundle(layout, manifest(), FILES)
    found, files = read_bundle(layout, "bikes", 1)
    assert files == FILES
    assert set(found.files) == set(FILES)
    assert list_bundles(layout, "bikes") == [1]
    assert list(layout.tmp.iterdir()) == []


@pytest.mark.parametrize("name", ["model.txt", "schema.json"])
def test_one_flipped_bit_is_refused(layout: Layout, name: str) -> None:
    path = publish_bundle(layout, manifest(), FILES) / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleCorrupt, match=rf"{name} differs from its manifest; restore it from a backup"):
        read_bundle(layout, "bikes", 1)


def test_a_missing_file_is_refused(layout: Layout) -> None:
    (publish_bundle(layout, manifest(), FILES) / "model.txt").unlink()
    with pytest.raises(BundleCorrupt, match=r"cannot be read: .*model.txt"):
        read_bundle(layout, "bikes", 1)


def test_a_torn_manifest_is_refused(layout: Layout) -> None:
    path = publish_bundle(layout, manifest(), FILES) / "manifest.json"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(BundleCorrupt, match=r"cannot be read"):
        read_bundle(layout, "bikes", 1)


def test_a_manifest_that_points_elsewhere_is_refused(layout: Layout) -> None:
    path = publish_bundle(layout, manifest(), FILES) / "manifest.json"
    told = json.loads(path.read_bytes())
    told["files"]["../../secret"] = "0" * 64
    path.write_text(json.dumps(told))
    with pytest.raises(BundleCorrupt, match=r"no plain file name"):
        read_bundle(layout, "bikes", 1)


def test_a_half_published_bundle_is_invisible(layout: Layout) -> None:
    half = bundle_path(layout, "bikes", 1)
    half.mkdir(parents=True)
    (half / "model.txt").write_bytes(b"half")
    (layout.tmp / "bundle-bikes-2-1").mkdir()
    assert list_bundles(layout, "bikes") == []
    with pytest.raises(BundleNotFound, match=r"'bikes' has no published version 1"):
        read_bundle(layout, "bikes", 1)


@pytest.mark.parametrize("name", ["1.bak", "1-old", "2²", "01", "²", "backup"])
def test_what_lies_beside_the_versions_is_no_version(layout: Layout, name: str) -> None:
    published = publish_bundle(layout, manifest(), FILES)
    shutil.copytree(published, published.with_name(name))
    assert list_bundles(layout, "bikes") == [1]


def test_a_version_is_published_once(layout: Layout) -> None:
    publish_bundle(layout, manifest(), FILES)
    with pytest.raises(StateUnwritable, match=r"cannot publish the bundle .*: Directory not empty"):
        publish_bundle(layout, manifest(), {"model.txt": b"other"})
    assert read_bundle(layout, "bikes", 1)[1] == FILES
    assert list(layout.tmp.iterdir()) == []


def test_a_full_disk_publishes_nothing(small_disk: SmallDisk) -> None:
    layout = Layout(root=small_disk.path / "state")
    layout.create()
    with pytest.raises(StateUnwritable, match=r"cannot publish the bundle .*No space left on device"):
        publish_bundle(layout, manifest(), {"model.txt": b"x" * (4 << 20)})
    assert list_bundles(layout, "bikes") == []
    assert list(layout.tmp.iterdir()) == []


def test_a_failed_replacement_keeps_the_old_content(small_disk: SmallDisk) -> None:
    path = small_disk.path / "deployments.json"
    replace_durably(path, b"old")
    small_disk.fill()
    with pytest.raises(StateUnwritable, match=r"cannot write .*deployments.json: No space left"):
        replace_durably(path, b"new" * 5000)
    assert path.read_bytes() == b"old"
    assert [each.name for each in small_disk.path.iterdir() if each.name.startswith(".")] == []


def test_a_replacement_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    replace_durably(tmp_path / "secret", b"x", mode=0o600)
    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
