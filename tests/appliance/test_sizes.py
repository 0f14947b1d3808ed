"""Sizes in settings: in the forms that people write, and what to write where a form is none."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from appliance.errors import BadSetting
from appliance.settings import Settings, load_settings
from appliance.sizes import read_bytes, read_mebibytes, read_memory
from storage.duck import open_duckdb


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (4096, 4096), ("4096", 4096), ("4096MB", 4_096_000_000), ("4096 MiB", 4 << 30), ("4GiB", 4 << 30),
        ("1.5kB", 1500), ("0.5KiB", 512), ("2tb", 2 * 10**12), ("7B", 7), (" 1GB ", 10**9),
    ],
)  # fmt: skip
def test_bytes(value: object, size: int) -> None:
    assert read_bytes(value) == size


@pytest.mark.parametrize(("value", "size"), [(256, 256), ("256", 256), ("256MiB", 256), ("1GiB", 1024)])
def test_mebibytes(value: object, size: int) -> None:
    assert read_mebibytes(value) == size


@pytest.mark.parametrize(
    ("read", "value", "told"),
    [
        (read_bytes, "4096M", "'4096M' is no size; write a whole number of bytes, or a number with a unit, KB, MB"),
        (read_bytes, 1.5, "is no size"), (read_bytes, True, "is no size"),
        (read_bytes, "lots", "'lots' is no size"), (read_bytes, "-1MB", "is no size"),
        (read_mebibytes, "256MB", "'256MB' is no whole number of MiB; write 245"),
        (read_mebibytes, "256 M", "write a whole number of MiB"),
        (read_memory, 4096, '4096 is no size with a unit; write "4096MB"'), (read_memory, "much", "'much' is no size"),
    ],
)  # fmt: skip
def test_what_is_no_size_says_what_to_write(read: Callable[[object], object], value: object, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read(value)


@pytest.mark.parametrize("text", ["512MB", "1.5GB", "1GiB", "300000 KB", "1gib", "900000000B", "4G", "50%"])
def test_duckdb_takes_what_the_setting_takes(text: str, tmp_path: Path) -> None:
    assert Settings(duckdb_memory=text).duckdb_memory == text
    open_duckdb(tmp_path, memory=read_memory(text)).close()


def test_a_setting_is_refused_with_what_to_write_and_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "appliance.toml"
    monkeypatch.setenv("APPLIANCE_CONFIG", str(file))
    file.write_text('max_upload_bytes = "8GB"\nduckdb_memory = 2048\n')
    told = rf'settings: duckdb_memory: 2048 is no size with a unit; write "2048MB" \(in {file}\)'
    with pytest.raises(BadSetting, match=told):
        load_settings()
    file.write_text('max_upload_bytes = "8GB"\nduckdb_memory = "2048MB"\n')
    assert load_settings().max_upload_bytes == 8_000_000_000
