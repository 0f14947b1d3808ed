"""apply, model create, models, versions, card, deploy, promote, rollback."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

from cyclopts import App, Parameter

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, or_dash, print_json, print_table, say, show_metrics, show_time
from appliance.errors import BadInput
from appliance.model_card import Trial
from appliance.model_spec import Metric, ModelSpec, dump_spec, load_spec
from appliance.models import ModelInfo
from appliance.schema import Task
from appliance.settings import load_settings

NOT_THE_SAME = 4
"""Exit code of a version that could not be reproduced."""

app = App(name="model", help="Declare a model without writing a file.")


def apply(file: Path) -> None:
    """Declare a model, or change its declaration; the next training follows it.

    Args:
        file: MODEL.toml, as the dashboard and 'appliance model create' write it.
    """
    info = open_house().models.apply(load_spec(file), who=caller())
    _say_declared(info)


@app.command
def create(  # noqa: PLR0913  (a verb's options)
    name: str,
    *,
    dataset: str,
    target: str,
    task: str | None = None,
    metric: str | None = None,
    time: str | None = None,
    exclude: Annotated[list[str] | None, Parameter(negative="")] = None,
    json: Json = False,
) -> None:
    """Declare a new model; what is not said is found out from the data.

    Args:
        name: a-z, 0-9, '-' and '_'.
        dataset: What it learns from.
        target: The column it predicts.
        task: regression, binary or multiclass.
        metric: What versions are compared by, such as mae; else rmse, auc or log_loss.
        time: The column that orders the rows; '' for none.
        exclude: A column that is not known when we predict; repeat it for more.
    """
    models = open_house().models
    if task is not None and task not in set(Task):
        raise BadInput(f"--task {task!r} is none; choose one of {', '.join(Task)}")
    if metric is not None and metric not in get_args(Metric):
        raise BadInput(f"--metric {metric!r} is none; choose one of {', '.join(get_args(Metric))}")
    said = ModelSpec(
        name=name, dataset=dataset, target=target, task=Task(task) if task else None, time=time or None,
        metric=cast("Metric | None", metric),
        exclude=tuple(exclude or ()), split_by="random" if time == "" else None,
    )  # fmt: skip
    proposal = models.complete(said)
    info = models.create(proposal.spec, who=caller())
    if json:
        print_json({"model": info, "sentences": proposal.sentences})
        return
    for sentence in proposal.sentences:
        print(f"  {sentence}")
    _say_declared(info)


def list_models(*, json: Json = False) -> None:
    """Every model and what of it serves."""
    models = open_house().models.list()
    if json:
        print_json({"models": models})
        return
    print_table(
        ("model", "task", "dataset", "target", "serves", "champion", "newest"),
        [(m.name, m.task, m.dataset, m.target, m.deployed, m.champion, m.latest) for m in models],
    )


def versions(name: str, *, json: Json = False) -> None:
    """A model's versions, newest first."""
    found = open_house().models.versions(name)
    if json:
        print_json({"versions": found})
        return
    print_table(
        ("version", "alias", "dataset", "rows", "metrics on the holdout", "gate", "trained"),
        [
            (
                v.version, v.alias, f"{v.dataset} {v.dataset_version}", v.rows, show_metrics(v.metrics),
                "passed" if v.gate.passed else "not passed", show_time(v.created_at),
            )
            for v in found
        ],
    )  # fmt: skip


def card(name: str, *, version: int | None = None, html: Path | None = None, json: Json = False) -> None:
    """What a version is: data, decisions, metrics, importance, limits, fairness.

    Args:
        name: The model.
        version: What serves when left out, else the champion, else the newest.
        html: Write it to this file as a page that needs nothing else.
    """
    models = open_house().models
    found = models.card(name, version)
    if html is not None:
        try:
            html.write_text(models.card_page(name, found.version), encoding="utf-8")
        except OSError as exc:
            raise BadInput(f"cannot write {html}: {exc.strerror or exc}") from exc
        say(f"the card of {name} version {found.version} is in {html}")
        return
    if json:
        print_json(found)
        return
    print(f"{found.model} version {found.version}: {found.task} of {found.target}")
    print(f"  data      {found.dataset} version {found.dataset_version}, {found.rows} rows; {found.split}")
    for decision in found.decisions:
        print(f"            {decision}")
    print(f"  holdout   {show_metrics(found.metrics)}")
    print(f"  dummy     {show_metrics(found.baseline)}")
    print(f"  gate      {'passed' if found.gate.passed else 'not passed'}: {' '.join(found.gate.reasons)}")
    for warning in found.warnings:
        print(f"  warning   {f'{warning.column}: ' if warning.column else ''}{warning.message}")
    for fairness in found.evaluation.fairness if found.evaluation else ():
        print(f"  fairness  {fairness.sentence}")
    for one in found.evaluation.worst[:3] if found.evaluation else ():
        times = "some loss, the others have none" if one.ratio is None else f"{one.ratio:.2f} x the loss of the others"
        print(f"  worst     {one.column} = {one.value}: {times}, {one.rows} rows")
    print_table(("column", "share of the gain"), [(one.column, or_dash(one.share)) for one in found.importance])


def reproduce(name: str, *, version: int, json: Json = False) -> int:
    """Train a version again from its record and compare the model's text; nothing is registered.

    Args:
        name: The model.
        version: The version to train again.
    """
    from appliance.processes.priority import step_back
    from appliance.training.reproduce import reproduce as train_again

    models = open_house().models
    models.get(name)
    step_back()
    found = train_again(load_settings(), name, version, Told())
    if json:
        print_json(found)
        return 0 if found.same else NOT_THE_SAME
    verdict = "is the same, bit for bit" if found.same else "is not the same"
    print(f"{name} version {version}, trained again, {verdict}: sha256 {found.again_sha256[:16]}")
    for difference in found.differences:
        print(f"  differs: {difference}")
    return 0 if found.same else NOT_THE_SAME


class Told:
    """A training's progress on standard error, a line a step."""

    def step(self, name: str, fraction: float, message: str) -> None:  # noqa: ARG002  (Progress' signature)
        """A step begins."""
        say(f"{name}: {message}")

    def round(self, iteration: int, train: float, valid: float) -> None:
        """A boosting round ended; there are too many to tell."""

    def trial(self, trial: Trial) -> None:
        """A trial of a search ended; a step says so."""


def deploy(
    name: str,
    *,
    version: int | None = None,
    canary: int | None = None,
    shadow: Flag = False,
    reason: str = "",
    json: Json = False,
) -> None:
    """Let a version serve; no request is lost while it takes over.

    Args:
        name: The model.
        version: The champion when left out; for a canary or a shadow the one that stands, else the newest.
        canary: Answer this percentage of the requests, 1 to 99, the champion the rest; the same key always gets the
            same version. Again with another percentage to change it.
        shadow: Score beside the champion without ever answering.
        reason: For the history.
    """
    deployments = open_house().deployments
    if canary is not None and shadow:
        raise BadInput("--canary and --shadow exclude each other; choose one")
    if canary is not None:
        deployment = deployments.start_canary(name, canary, version, who=caller(), reason=reason)
    elif shadow:
        deployment = deployments.start_shadow(name, version, who=caller(), reason=reason)
    else:
        deployment = deployments.deploy(name, version, who=caller(), reason=reason)
    if json:
        print_json(deployment)
        return
    does = {
        "canary": f"answers {deployment.percent} percent of the requests",
        "shadow": "scores beside the champion and answers nobody",
    }.get(deployment.role, "serves")
    print(f"{deployment.model} version {deployment.version} {does} since {show_time(deployment.started_at)}")


def promote(name: str, *, reason: str = "", json: Json = False) -> None:
    """Make the canary, or without one the shadow, the champion."""
    deployment = open_house().deployments.promote(name, who=caller(), reason=reason)
    if json:
        print_json(deployment)
    else:
        print(f"{deployment.model} version {deployment.version} serves since {show_time(deployment.started_at)}")


def rollback(name: str, *, shadow: Flag = False, reason: str = "", json: Json = False) -> None:
    """End a standing canary; without one, let the version serve again that served before.

    Args:
        name: The model.
        shadow: End the shadow instead, and leave everything else as it is.
        reason: For the history.
    """
    deployments = open_house().deployments
    if shadow:
        deployment = deployments.end(name, "shadow", who=caller(), reason=reason)
    else:
        deployment = deployments.rollback(name, who=caller(), reason=reason)
    if json:
        print_json(deployment)
    elif shadow:
        print(f"{deployment.model} version {deployment.version} is no shadow any more")
    else:
        print(f"{deployment.model} version {deployment.version} serves again")


def _say_declared(info: ModelInfo) -> None:
    print(f"model {info.name} is declared:")
    for line in dump_spec(info.spec).splitlines():
        print(f"  {line}")
    if info.latest is None:
        print(f"train it with 'appliance train {info.name} --wait'")
