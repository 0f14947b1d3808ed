"""What the documents name is there: commands, files, routes."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from appliance.cli.main import VERBS
from appliance.reference import list_commands

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


@pytest.fixture(scope="module")
def commands() -> dict[str, str]:
    return {entry.name: entry.text for entry in list_commands()}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_stands_behind_a_verb_exists(path: Path, commands: dict[str, str]) -> None:
    """The verbs below it and its flags, wherever a command is written out."""
    text = path.read_text(encoding="utf-8")
    written = re.findall(r"`(?:DIR/bin/)?(appliance [^`\n]+)`|^(appliance [a-z][^\n]*)$", text, flags=re.MULTILINE)
    for one in (part for pair in written for part in re.split(r";\s+| \| ", "".join(pair))):
        if one.startswith("appliance "):
            assert wrong_in(one.split(), commands) == "", f"{path} names {one!r}"


def wrong_in(words: list[str], commands: dict[str, str]) -> str:
    """The first word of a command that its parser does not know."""
    here, *rest = words
    while rest and f"{here} {rest[0]}" in commands:
        here += f" {rest.pop(0)}"
    is_group = any(name.startswith(f"{here} ") for name in commands)
    if is_group and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        return rest[0]
    flags = [found[0] for word in rest if (found := re.match(r"--[a-z][a-z-]*", word.strip("[](),")))]
    taken = {*re.findall(r"--[a-z][a-z-]*", commands.get(here, "")), "--help", "--version", "--state", "--config"}
    return next((flag for flag in flags if flag not in taken), "")


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_options_of_the_installer_exist(path: Path) -> None:
    taken = set(re.findall(r"--[a-z][a-z-]*", (ROOT / "install.sh").read_text(encoding="utf-8")))
    for line in re.findall(r"`([^`\n]*\./install\.sh[^`\n]*)`", path.read_text(encoding="utf-8")):
        assert set(re.findall(r"--[a-z][a-z-]*", line)) <= taken, f"{path} names {line!r}"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_programs_exist(path: Path) -> None:
    for module in re.findall(
        r"python -m ((?:appliance|flows|storage|tests|ui)[\w.]*)", path.read_text(encoding="utf-8")
    ):
        place = ROOT / module.replace(".", "/")
        assert place.with_suffix(".py").is_file() or (place / "__main__.py").is_file(), f"{path} names {module}"


def test_every_folder_has_its_readme() -> None:
    for folder in ("appliance", "flows", "storage", "systemd", "tests", "ui"):
        assert (ROOT / folder / "README.md").is_file(), folder


def test_the_modules_that_a_folder_lists_are_there() -> None:
    for readme in DOCUMENTS:
        rows = re.findall(r"^\| (`[^|]*) \|", readme.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for name in re.findall(r"`([a-z_/]+\.py)`", " ".join(rows)):
            assert (readme.parent / name).exists() or (readme.parent / "inference" / name).exists(), f"{readme}: {name}"
