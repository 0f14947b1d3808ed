"""One file made here installs where there is no network at all, and nothing of it is trusted unread."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.install.place import ROOT, Place

pytestmark = [pytest.mark.install, pytest.mark.timeout(1200)]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundle")
    place = Place.below(folder / "maker")
    done = place.install("--make-bundle", str(folder / "appliance.bundle"))
    assert done.code == 0, done.out + done.err
    assert not place.base.exists()
    assert [path.name for path in folder.iterdir() if path.name != "maker"] == ["appliance.bundle"]
    return folder / "appliance.bundle"


@pytest.fixture(scope="module")
def installed(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, str]]:
    """From the bundle and the installer that is in it, in a namespace whose only interface is loopback."""
    if os.geteuid() != 0:
        pytest.skip("an empty network namespace needs root")
    place = Place.below(tmp_path_factory.mktemp("offline") / "with a space")
    alone = place.home / "alone"
    alone.mkdir()
    place.sh(f"tar -xf '{bundle}' -C '{alone}' install.sh")
    line = (
        f"ip link set lo up && ! ip route | grep -q . && sh '{alone}/install.sh' --local '{place.base}'"
        f" --offline '{bundle}' {' '.join(place.port_flags)} && '{place.base}/bin/appliance' status --json"
        f" && '{place.base}/bin/appliance' down"
    )
    shutil.rmtree(place.base, ignore_errors=True)
    done = subprocess.run(
        ["unshare", "-n", "sh", "-c", line], capture_output=True, text=True, check=False, cwd="/", timeout=800,
        env={
            "PATH": os.environ["PATH"], "HOME": str(place.home), "RUSTUP_HOME": "/dev/null/rustup",
            "APPLIANCE_PYTHON": str(Path(sys.executable).resolve()),
        },
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    yield place, done.stdout
    place.remove()


def test_it_holds_what_only_another_patch_of_python_needs(bundle: Path) -> None:
    patched = re.findall(
        r"^(\S+)==(\S+) ; python_full_version < '3\.\d+\.\d+'", (ROOT / "requirements.lock").read_text(), re.M
    )
    assert patched, "none is left: this test and the sed in fetch_wheels can go"
    with tarfile.open(bundle) as opened:
        wheels = {Path(name).name for name in opened.getnames() if name.endswith(".whl")}
    for name, version in patched:
        assert any(wheel.startswith(f"{name.replace('-', '_')}-{version}-") for wheel in wheels), name


def test_it_installs_and_runs_without_any_network(installed: tuple[Place, str]) -> None:
    place, said = installed
    report = json.loads(said[said.index("{") : said.rindex("}") + 1])
    assert {one["state"] for one in report["services"]} == {"running"}
    assert not (place.base / "current" / "wheels").exists(), "what was unpacked is gone"
    assert sorted(path.name for path in place.base.iterdir() if path.name.startswith(".work")) == []


def test_the_bundle_installs_the_same_release_as_the_checkout(installed: tuple[Place, str], bundle: Path) -> None:
    place, _ = installed
    done = place.install("--offline", str(bundle), "--no-start", "--dry-run")
    assert done.code == 0, done.err
    assert "would: Making" not in done.out


def test_uninstalling_keeps_the_state_and_a_purge_does_not(installed: tuple[Place, str]) -> None:
    place, _ = installed
    said = place.install("--uninstall")
    assert said.code == 0, said.err
    assert f"the state and its backups in {place.base}/state" in said.out
    assert sorted(path.name for path in place.base.iterdir()) == ["appliance.toml", "install.log", "state"]
    assert (place.base / "state" / "appliance.db").exists()
    again = place.install("--uninstall", "--purge", "--yes")
    assert again.code == 0, again.err
    assert not place.base.exists()


def rewrite(
    bundle: Path, target: Path, *, drop: str = "", add: dict[str, bytes] | None = None, spoil: str = ""
) -> Path:  # fmt: skip
    with tarfile.open(bundle) as old, tarfile.open(target, "w") as new:
        for member in old:
            if member.name == drop:
                continue
            content = old.extractfile(member)
            if content is not None and member.name == spoil:
                spoilt = bytearray(content.read())
                spoilt[len(spoilt) // 2] ^= 1
                (target.parent / "spoilt").write_bytes(spoilt)
                new.add(target.parent / "spoilt", member.name)
            else:
                new.addfile(member, content)
        for name, data in (add or {}).items():
            (target.parent / "added").write_bytes(data)
            new.add(target.parent / "added", name)
    return target


def test_a_bundle_that_was_changed_installs_nothing(bundle: Path, tmp_path: Path) -> None:
    with tarfile.open(bundle) as names:
        wheel = next(name for name in names.getnames() if name.startswith("wheels/six"))
    cut = tmp_path / "cut"
    cut.write_bytes(bundle.read_bytes()[: bundle.stat().st_size // 2])
    cases = {
        f"{wheel} is not what was bundled": rewrite(bundle, tmp_path / "spoiled", spoil=wheel),
        f"{wheel} is not what": rewrite(bundle, tmp_path / "less", drop=wheel),
        "wheels/more.whl is not what was bundled": rewrite(bundle, tmp_path / "more", add={"wheels/more.whl": b"x"}),
        "it holds ../escape": rewrite(bundle, tmp_path / "escape", add={"../escape": b"x"}),
        "it cannot be read": cut,
    }
    for number, (said, file) in enumerate(cases.items()):
        place = Place.below(tmp_path / str(number))
        done = place.install("--offline", str(file), *place.port_flags)
        assert done.code == 2, said
        assert f"E012  the bundle {file} is damaged: " in done.err
        assert said in done.err
        assert not place.base.exists()


def test_a_bundle_for_another_python_or_machine_is_refused(tmp_path: Path) -> None:
    place = Place.below(tmp_path / "place")
    (tmp_path / "bundle.conf").write_text("python=3.10\nmachine=s390x\nversion=1\n")
    file = tmp_path / "other"
    with tarfile.open(file, "w") as bundle:
        bundle.add(tmp_path / "bundle.conf", "bundle.conf")
    done = place.install("--offline", str(file), *place.port_flags)
    assert done.code == 2
    assert "E012  the bundle is for s390x" in done.err
    assert "E003  there is no Python 3.10" in done.err
    done = place.install("--offline", str(ROOT / "README.md"), *place.port_flags)
    assert (done.code, "is not there, or no bundle" in done.err) == (2, True)
