"""Files that somebody sends to be scored: whether they fit the model, where they wait, and where their results are had.

Both lie in one folder below the state's ``tmp`` and go a day after its last change, as all that is left there does
(``appliance.retention``); the file itself goes as soon as it was scored.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.errors import BadInput, Conflict, NotFound, NotReady
from appliance.intake import Intake
from appliance.jobs import OUT_SUFFIXES, JobKind, JobState
from appliance.model_card import PredictionReport
from appliance.schema import FeatureSchema, Task
from storage.bundles import bundle_path
from storage.errors import BundleNotFound, StateUnwritable
from storage.layout import Layout

if TYPE_CHECKING:
    from appliance.house import Appliance

_PREFIX = "scored-"
_FOLDER = re.compile(r"scored-[0-9a-f]{24}")
_PACKED = (".gz", ".zst")


def score_file(
    appliance: Appliance, model: str, upload: Path, *, who: str, version: int | None = None, ending: str | None = None
) -> str:
    """Look whether an uploaded file has what the model needs, and start the job that scores it.

    Args:
        appliance: Whose model it is.
        model: Its name.
        upload: The file, alone in its folder; the folder is taken over, or stays as it is where this raises.
        who: Who asks.
        version: None: what serves, else the champion.
        ending: Of the result, one of ``jobs.OUT_SUFFIXES``; None: that of the file where it is one of them, else .csv.

    Returns:
        The job's id.

    Raises:
        NotFound: No such model or version.
        BadInput: The file cannot be read so far, lacks columns, or has one that a prediction would replace.
        NotReady: The orchestrator does not answer.
    """
    info = appliance.models.get(model)
    chosen = (info.deployed or info.champion) if version is None else version
    if chosen is None:
        raise NotFound(f"model {model!r} has no version to predict with; train it with 'appliance train {model}'")
    seen = appliance.datasets.look_through(Intake(source=str(upload)), rows=1, most_rows=1)
    columns = [one.name for one in seen.glance.columns]
    require_columns(appliance.settings.layout, model, chosen, columns)
    stem, found = _split(upload.name)
    suffix = ending or found
    if suffix not in OUT_SUFFIXES:
        raise BadInput(f"a result cannot end in {suffix!r}; accepted: {', '.join(OUT_SUFFIXES)}")
    folder = upload.parent.with_name(_PREFIX + upload.parent.name.rpartition("-")[2])
    try:
        upload.parent.rename(folder)
    except OSError as exc:
        raise StateUnwritable(f"cannot keep the file in {folder}: {exc.strerror}; send it again") from exc
    out = folder / f"{stem}.predictions{suffix}"
    try:
        return appliance.jobs.start_prediction(model, folder / upload.name, out, who=who, version=chosen)
    except BaseException:
        folder.rename(upload.parent)
        raise


def require_columns(layout: Layout, model: str, version: int, columns: Iterable[str]) -> None:
    """Hold a file's columns against what a version takes and adds.

    Raises:
        NotFound: The version is not published.
        BadInput: Columns are missing, or stand where predictions go.
    """
    folder = bundle_path(layout, model, version)
    try:
        schema = msgspec.json.decode((folder / "schema.json").read_bytes(), type=FeatureSchema)
    except FileNotFoundError as exc:
        raise BundleNotFound(f"{model} version {version} is not published in {folder.parent}; train it") from exc
    there = set(columns)
    if missing := [column.name for column in schema.columns if column.name not in there]:
        raise BadInput(
            f"the file lacks the column(s) {', '.join(missing)} that {model} version {version} takes; add them, empty "
            "where nothing is known"
        )
    if taken := sorted(there & _added(schema, has_interval=any(folder.glob("interval_*.txt")))):
        raise BadInput(f"the file has column(s) {', '.join(taken)} already; rename them, the predictions go there")


def _added(schema: FeatureSchema, *, has_interval: bool) -> set[str]:
    """The columns that a batch prediction adds."""
    classes = set() if schema.task is Task.REGRESSION else {f"probability_{name}" for name in schema.classes}
    return {"prediction"} | classes | ({"interval_low", "interval_high"} if has_interval else set())


def drop_scored(layout: Layout, file: Path) -> None:
    """Forget a file that was sent and is scored now; one of the host's own files stays."""
    if _is_ours(layout, file):
        file.unlink(missing_ok=True)


def find_scored(appliance: Appliance, job_id: str) -> Path:
    """The result of a file that was sent to be scored.

    Raises:
        NotFound: No such job; or it scored no file that was sent; or the result has gone meanwhile.
        NotReady: It has not ended yet.
        Conflict: It did not finish; says why.
    """
    report = appliance.jobs.report(job_id)
    if not isinstance(report, PredictionReport):
        job = appliance.jobs.get(job_id)
        if job.kind is not JobKind.PREDICT:
            raise NotFound(f"job {job_id} scored no file; 'GET /api/jobs/{job_id}' says what it brought")
        if not job.state.final or job.state is JobState.COMPLETED:
            raise NotReady(f"job {job_id} has not ended yet; ask again")
        raise Conflict(f"job {job_id} has no result, it ended {job.state}: {job.message or 'its log says why'}")
    out = Path(report.out)
    if not _is_ours(appliance.settings.layout, out):
        raise NotFound(f"job {job_id} wrote to {out} on the appliance's host; fetch it there")
    if not out.is_file():
        raise NotFound(f"the result of job {job_id} was kept for a day and is gone; score the file again")
    return out


def is_kept(layout: Layout, out: str) -> bool:
    """Whether a result can be had from here, and is still there."""
    return _is_ours(layout, Path(out)) and Path(out).is_file()


def _is_ours(layout: Layout, file: Path) -> bool:
    folder = file.absolute().parent
    return folder.parent == layout.tmp.absolute() and _FOLDER.fullmatch(folder.name) is not None


def _split(name: str) -> tuple[str, str]:
    """A file's name without its ending, and the ending of a result that shall be like it."""
    plain = name
    for packed in _PACKED:
        plain = plain.removesuffix(packed)
    suffix = Path(plain).suffix
    return plain.removesuffix(suffix) or "file", suffix.lower() if suffix.lower() in OUT_SUFFIXES else ".csv"
