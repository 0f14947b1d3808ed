"""What the documents name is there: commands, files, routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.cli.main import VERBS

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not {".venv", ".appliance", ".artifacts", ".pytest_cache"} & set(path.relative_to(ROOT).parts)
)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)\)", path.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path} links to {target}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_commands_exist(path: Path) -> None:
    verbs = {name for name, *_ in VERBS}
    text = path.read_text(encoding="utf-8")
    for word in re.findall(r"(?:`|^|/bin/|;\s+)appliance ([a-z][a-z-]*)", text, flags=re.MULTILINE):
        assert word in verbs, f"{path} names 'appliance {word}'"


def test_every_folder_has_its_readme() -> None:
    for folder in ("appliance", "flows", "storage", "systemd", "tests", "ui"):
        assert (ROOT / folder / "README.md").is_file(), folder


def test_the_modules_that_a_folder_lists_are_there() -> None:
    for readme in DOCUMENTS:
        rows = re.findall(r"^\| (`[^|]*) \|", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name in re.findall(r"`([a-z_/]+\.py)`", " ".join(rows)):
            assert (readme.parent / name).exists() or (readme.parent / "inference" / name).exists(), f"{readme}: {name}"
