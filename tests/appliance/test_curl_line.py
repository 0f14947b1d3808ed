"""The command that the demo prints to be pasted."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from appliance.demo.demo import curl_line, demo_key_path
from tests.training.state import new_appliance


@pytest.mark.parametrize("name", ["state", "ann's own state", 'a "b" $HOME'])
def test_it_reads_the_key_wherever_the_state_lies(tmp_path: Path, name: str) -> None:
    house = new_appliance(tmp_path / name)
    demo_key_path(house.settings.layout).write_text("apk_key\n")
    program, _, arguments = curl_line(house).partition(" ")
    assert program == "curl"
    said = subprocess.run(["sh", "-c", f"printf '%s\\n' {arguments}"], capture_output=True, text=True, check=True)
    assert "Authorization: Bearer apk_key" in said.stdout.splitlines(), said.stderr
