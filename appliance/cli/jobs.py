"""train, retrain, predict, jobs: what runs in the background, followed in the foreground."""

from __future__ import annotations

import shutil
import sys
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cyclopts import App

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, print_json, print_table, say, show_metrics, show_time
from appliance.errors import BadInput, NotFound, NotReady
from appliance.house import Appliance
from appliance.jobs import Job, JobProgress, JobState, require_out
from appliance.model_card import PredictionReport, TrainingReport, Warn

app = App(name="jobs", help="Trainings, predictions and runs of feeds: what runs, what ran, and their logs.")

JOB_FAILED = 4
TOLD_WARNINGS = 5


def train(name: str, *, wait: Flag = False, dataset_version: int | None = None, json: Json = False) -> int:
    """Train a model on the newest version of its dataset.

    Args:
        name: The model.
        wait: Stay until it is done, showing how far it is, then print the version and its metrics.
        dataset_version: Train on this version of the dataset instead.
    """
    house = open_house()
    job_id = house.jobs.start_training(name, who=caller(), version=dataset_version)
    return _after_start(house, job_id, wait=wait, json=json)


def retrain(name: str, *, wait: Flag = False, json: Json = False) -> int:
    """Collect what was labelled since into the dataset, then train on all of it.

    Args:
        name: The model.
        wait: Stay until it is done, then print the version and its metrics.
    """
    house = open_house()
    job_id = house.jobs.start_retraining(name, who=caller())
    return _after_start(house, job_id, wait=wait, json=json)


def predict(name: str, file: Path, *, out: Path | None = None, version: int | None = None, json: Json = False) -> int:
    """Score a file through a job: its rows in order, with 'prediction' and 'probability_<class>' beside them.

    Args:
        name: The model.
        file: CSV, Parquet or NDJSON.
        out: Where to write, .csv, .parquet or .ndjson; beside the input when left out.
        version: The version that serves when left out.
    """
    if not file.is_file():
        raise NotFound(f"there is no file {file}")
    out = (out or file.with_name(f"{file.stem}.predictions{_out_suffix(file)}")).absolute()
    require_out(out)
    house = open_house()
    way = _find_way(house, file.absolute(), out)
    try:
        job_id = house.jobs.start_prediction(name, way.source, way.sink, who=caller(), version=version)
    except BaseException:
        way.forget()
        raise
    try:
        job = follow(house, job_id)
    except (KeyboardInterrupt, NotReady):
        if way.folder is not None:  # which the job goes on to read and write; the night clears it away
            say(f"its result will lie in {way.sink} for a day")
        raise
    report = house.jobs.report(job_id)
    way.end(job.state)
    if job.state is not JobState.COMPLETED or not isinstance(report, PredictionReport):
        return _say_failed(job)
    if json:
        print_json({**{key: getattr(report, key) for key in report.__struct_fields__}, "out": str(out)})
    else:
        print(f"{report.rows} rows scored by {report.model} version {report.version} in {report.seconds:.1f} s: {out}")
        for note in report.notes:
            print(f"  {note}")
        for column, count in report.unseen.items():
            print(f"  {column}: {count} rows with a category that training never saw")
    return 0


@app.command(name="list")
def list_jobs(*, limit: int = 20, running: Flag = False, json: Json = False) -> None:
    """The newest jobs.

    Args:
        limit: So many of them.
        running: Those alone that run now, all of them: an upgrade, a restart and 'appliance down' end them.
    """
    house = open_house()
    jobs = house.jobs.running() if running else house.jobs.list(limit)
    if json:
        print_json({"jobs": jobs})
        return
    if running and not jobs:
        say("no job runs")
        return
    print_jobs(jobs)


def print_jobs(jobs: Sequence[Job]) -> None:
    """A line each."""
    print_table(
        ("job", "what", "of", "state", "created", "by", "message"),
        [(j.id, j.kind, j.model, j.state, show_time(j.created_at), j.who, j.message) for j in jobs],
    )


@app.command
def log(job: str, *, json: Json = False) -> None:
    """A job's log, the oldest line first."""
    found = open_house().jobs.logs(job)
    if json:
        print_json({"log": found})
        return
    for line in found:
        print(f"{show_time(line.at)} {line.level:7} {line.message}")


@app.command
def again(job: str, *, json: Json = False) -> int:
    """Start the same as a job that has ended, with all that it was given."""
    house = open_house()
    return _after_start(house, house.jobs.again(job, who=caller()), wait=False, json=json)


@app.command
def cancel(job: str) -> None:
    """Stop a job."""
    print(f"the job is {open_house().jobs.cancel(job, who=caller()).state}")


def follow(house: Appliance, job_id: str) -> Job:
    """Wait for a job, showing its progress on standard error: one living line, or a line a step without a terminal.

    Interrupting stops the looking, not the job.
    """
    try:
        return _follow_living(house, job_id) if sys.stderr.isatty() else _follow_plain(house, job_id)
    except KeyboardInterrupt:
        say(f"the job goes on; see 'appliance jobs log {job_id}', or stop it with 'appliance jobs cancel {job_id}'")
        raise


def _follow_living(house: Appliance, job_id: str) -> Job:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskProgressColumn, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(), TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(),
        TimeElapsedColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("waiting for the runner", total=1.0)

        def show(job: Job, now: JobProgress | None) -> None:
            if now is None:
                bar.update(task, description=f"{job.state}")
            else:
                bar.update(task, completed=now.fraction, description=now.message or now.step)

        return house.jobs.wait(job_id, show)


def _follow_plain(house: Appliance, job_id: str) -> Job:
    told = ""

    def show(job: Job, now: JobProgress | None) -> None:
        nonlocal told
        # A line a step: the message changes with every round of a fit.
        key = now.step if now else str(job.state)
        if key != told:
            told = key
            say(f"{now.step}: {now.message}" if now and now.message else key)

    return house.jobs.wait(job_id, show)


def _after_start(house: Appliance, job_id: str, *, wait: bool, json: bool) -> int:
    if not wait:
        if json:
            print_json({"job": job_id})
        else:
            print(f"job {job_id} is started; follow it with 'appliance jobs log {job_id}'")
        return 0
    job = follow(house, job_id)
    report = house.jobs.report(job_id)
    if job.state is not JobState.COMPLETED or not isinstance(report, TrainingReport):
        return _say_failed(job)
    if json:
        print_json(report)
        return 0
    print(f"{report.model} version {report.version} ({report.task}, {report.rows} rows, {report.seconds:.1f} s)")
    print(f"  on the holdout  {show_metrics(report.metrics)}")
    print(f"  dummy           {show_metrics(report.baseline)}")
    if report.champion is not None:
        print(f"  champion was    version {report.champion_version}: {show_metrics(report.champion)}")
    print(f"  gate {'passed' if report.gate.passed else 'not passed'}: {' '.join(report.gate.reasons)}")
    say_warnings(house.models.card(report.model, report.version).warnings, report.model)
    if report.gate.passed and not report.deployed:
        print(f"  it does not serve yet; run 'appliance deploy {report.model}'")
    return 0


def say_warnings(warnings: Sequence[Warn], model: str) -> None:
    """Print the first warnings of a training, and where the others stand."""
    for warning in warnings[:TOLD_WARNINGS]:
        print(f"  warning         {f'{warning.column}: ' if warning.column else ''}{warning.message}")
    if (more := len(warnings) - TOLD_WARNINGS) > 0:
        print(f"  {more} more {'warning' if more == 1 else 'warnings'}; run 'appliance card {model}'")


def _say_failed(job: Job) -> int:
    say(f"appliance: the job {job.id} {job.state}: {job.message}; see 'appliance jobs log {job.id}'")
    return JOB_FAILED


def _out_suffix(file: Path) -> str:
    return file.suffix if file.suffix in {".csv", ".parquet", ".ndjson"} else ".csv"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Way:
    """Where a job reads and writes: ``folder`` is between, where it cannot reach what the caller named."""

    source: Path
    sink: Path
    out: Path
    folder: Path | None

    def deliver(self) -> None:
        """Put the result where the caller wants it.

        Raises:
            BadInput: It cannot be written there; it stays where it is.
        """
        if self.folder is None:
            return
        try:
            shutil.copyfile(self.sink, self.out)
        except OSError as exc:
            raise BadInput(
                f"the file is scored, but the result cannot be written to {self.out}: {exc.strerror}; it lies in "
                f"{self.sink} for a day"
            ) from exc

    def end(self, state: JobState) -> None:
        """Deliver what a job made, and forget the way; but of one that may be started again as it was."""
        if state is JobState.CRASHED and self.folder is not None:
            say(f"where it is started again, its result will lie in {self.sink}, for a day")  # the night clears it away
            return
        if state is JobState.COMPLETED:
            self.deliver()
        self.forget()

    def forget(self) -> None:
        """Remove what is between."""
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _find_way(house: Appliance, file: Path, out: Path) -> _Way:
    """Paths that the runner can reach: as a unit it sees no home directory, so files go through the state's tmp."""
    if not house.settings.systemd:
        return _Way(source=file, sink=out, out=out, folder=None)
    folder = house.settings.layout.tmp / f"predict-{uuid.uuid4().hex}"
    folder.mkdir(mode=0o770)
    way = _Way(source=folder / file.name, sink=folder / f"out{out.suffix}", out=out, folder=folder)
    try:
        shutil.copyfile(file, way.source)
    except BaseException as exc:
        way.forget()
        if isinstance(exc, OSError):
            raise BadInput(f"cannot hand {file} to the job through {folder.parent}: {exc.strerror}") from exc
        raise
    return way
