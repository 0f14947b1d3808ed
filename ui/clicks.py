"""Sentences of the appliance, which name commands, in the words of the dashboard where it has a button or a field.

What the dashboard has no place for, such as SQL that prepares a source, keeps its command.
"""

from __future__ import annotations

import re

from ui.texts import _


def in_clicks(sentence: str) -> str:
    """The sentence with places of the dashboard for the commands and options that do the same."""
    for command, place in _PLACES:
        sentence = command.sub(place, sentence)
    return sentence


def _at(pattern: str, place: str, **labels: str) -> tuple[re.Pattern[str], str]:
    """``labels`` are words of buttons and tabs, as they are written on the page."""
    return re.compile(pattern), place.format(**labels)


_PLACES = (
    _at(r"with 'appliance train [^']*'", "with {train} on the model's page", train=_("Train")),
    _at(r"with 'appliance deploy \S+ --canary PERCENT' or '--shadow'", "with {deploy} on the model's page",
        deploy=_("Deploy")),
    _at(r"with 'appliance deploy [^']*'", "with {deploy} on the model's page", deploy=_("Deploy")),
    _at(r"; name another as the (\w+) with --version", r"; choose another version as the \1"),
    _at(r"\('appliance rollback [^']*'\)", "({back} on the model's page)", back=_("Roll back")),
    _at(r"or read it as one: --type .*?=string'?",
        "or choose {text} for the column where the file is shown before it is saved", text=_("text")),
    _at(r"keeps: --type .*?=string'?, or --query '.*? FROM source'",
        "keeps: choose {text} for the column where the file is shown before it is saved", text=_("text")),
    _at(r"bring it as text where it is an id, with --type .*?=string'? or a query",
        "choose {text} for the column where the file is shown before it is saved where it is an id, or bring it with a "
        "query", text=_("text")),
    _at(r"append with --evolve to change the dataset's columns, or replace the rows with --replace",
        "choose {replace}", replace=_("New version with these rows alone")),
    _at(r", or append it with --evolve to widen the column", ", or choose {replace}",
        replace=_("New version with these rows alone")),
    _at(r"(?:replace the rows|read all of its rows anew) with --replace", "choose {replace}",
        replace=_("New version with these rows alone")),
    _at(r"refresh it with --evolve to take the source's columns", "declare the schedule again with {take}",
        take=_("Take other columns than those that are there")),
    _at(r"with 'appliance data watch \S+ FOLDER'", "with {watch} under {rows}",
        watch=_("Watch a folder"), rows=_("New rows")),
    _at(r"watch with --again \('appliance data watch [^']*'\)", "watch the folder with {again}",
        again=_("Take a file's rows again when it changes under its name")),
    _at(r"with 'appliance data add \S+ SOURCE --replace'", "with {add}", add=_("Add a version")),
    _at(r"with 'appliance data feeds --stop [^']*'", "with {stop} under {rows}", stop=_("Stop it"),
        rows=_("New rows")),
    _at(r"'appliance data feeds --stop DATASET'", "{stop} under {rows} of the dataset", stop=_("Stop it"),
        rows=_("New rows")),
    _at(r"'appliance data feeds'", "{rows} of the dataset", rows=_("New rows")),
    _at(r"'appliance data refresh [^']*'", "{now} under {rows} of the dataset", now=_("Refresh now"),
        rows=_("New rows")),
    _at(r"'appliance data rejected [^']*' shows", "{rules} of the dataset shows", rules=_("Rules")),
    _at(r"'appliance data versions [^']*' shows", "{versions} of the dataset shows", versions=_("Versions")),
    _at(r"Add it with 'appliance data add'", "Add it on the page {data}", data=_("Data")),
    _at(r"'appliance retention --dry-run' shows", "{settings}, {retention} shows",
        settings=_("Settings"), retention=_("Retention")),
    _at(r"See 'appliance retention --dry-run'", "See {settings}, {retention}",
        settings=_("Settings"), retention=_("Retention")),
    _at(r"run 'appliance doctor'", "look at the page {doctor}", doctor=_("Check of the host")),
    _at(r"Run 'appliance doctor'", "Look at the page {doctor}", doctor=_("Check of the host")),
    _at(r"Run 'appliance backup create' and read what it says", "Press {make} under {settings}, {backup} and read what "
        "it says", make=_("Back up now"), settings=_("Settings"), backup=_("Backup")),
    _at(r"'appliance key list' shows", "{settings}, {keys} shows", settings=_("Settings"), keys=_("Keys")),
    _at(r"'appliance backup list'", "{settings}, {backup}", settings=_("Settings"), backup=_("Backup")),
)  # fmt: skip
