"""Train a version again from its own record, and say whether the model is the same, bit for bit."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from contextlib import ExitStack

import msgspec

import appliance
from appliance.errors import BundleRefused, NotFound
from appliance.model_card import ModelCard, Reproduction
from appliance.model_spec import parse_spec
from appliance.schema import Task
from appliance.settings import Settings
from appliance.training.bundle import CARD, DECLARATION, MODEL
from appliance.training.cores import Cores, threads_for
from appliance.training.open_table import open_table
from appliance.training.precedent import Precedent, left_out_by
from appliance.training.record import DIRTY, find_commit, hash_files, installed_hash
from appliance.training.train import Progress, train_again
from storage.bundles import read_bundle
from storage.datasets import get_snapshot, snapshot_files
from storage.errors import BundleCorrupt, BundleNotFound, DatasetNotFound, SnapshotNotFound


def reproduce(settings: Settings, name: str, version: int, progress: Progress) -> Reproduction:
    """Train on the recorded snapshot with the recorded declaration; nothing is registered or kept.

    Raises:
        NotFound: No such version, or its snapshot is gone.
        BundleRefused: The bundle is damaged, or was made by a release that recorded no declaration.
        BadTable: The rows cannot train it any more.
    """
    try:
        _, files = read_bundle(settings.layout, name, version)
    except BundleNotFound as exc:
        raise NotFound(str(exc)) from exc
    except BundleCorrupt as exc:
        raise BundleRefused(str(exc)) from exc
    if DECLARATION not in files:
        raise BundleRefused(
            f"model {name!r} version {version} was trained before declarations were kept in bundles; "
            f"it cannot be trained again from its record, train it anew with 'appliance train {name}'"
        )
    card = msgspec.json.decode(files[CARD], type=ModelCard)
    spec = parse_spec(files[DECLARATION].decode(), origin=f"{DECLARATION} of {name!r} version {version}")
    progress.step("read", 0.01, f"reading dataset {card.dataset!r} version {card.dataset_version}")
    try:
        paths = snapshot_files(settings.layout, card.dataset, card.dataset_version)
        snapshot = get_snapshot(settings.layout, card.dataset, card.dataset_version)
    except (DatasetNotFound, SnapshotNotFound) as exc:
        raise NotFound(f"model {name!r} version {version} was trained on what is gone: {exc}") from exc
    with ExitStack() as stack:
        table, scratch = open_table(settings, snapshot, stack)
        trained = train_again(
            spec, table, record=_decided(card), threads=threads_for(table.height * len(table.columns), Cores(settings)),
            progress=progress, scratch=scratch,
        )  # fmt: skip
    again = trained.fitted.text.encode()
    return Reproduction(
        model=name, version=version, same=again == files[MODEL], recorded_sha256=_sha256(files[MODEL]),
        again_sha256=_sha256(again), differences=_differences(card, hash_files(paths)),
    )  # fmt: skip


def _decided(card: ModelCard) -> Precedent:
    """What the version made of the data, a champion of that time and the rules of that release among it."""
    return Precedent(
        version=card.version, target=card.target, task=Task(card.task), classes=card.classes,
        left_out=left_out_by(card.warnings), inputs=card.columns, trials=len(card.trials) or None,
    )  # fmt: skip


def _differences(card: ModelCard, dataset_sha256: str) -> tuple[str, ...]:
    """What is not as it was; none is a reason for another model by itself."""
    record = card.record
    pairs = [
        ("the code's version", card.code_version, appliance.__version__),
        ("the installed libraries", card.lock_hash, installed_hash()),
    ]
    if record is not None:
        pairs += [
            ("the code's commit", record.commit or "", find_commit() or ""),
            ("the dataset's files", record.dataset_sha256, dataset_sha256),
        ]
    return tell_differences(pairs)


def tell_differences(pairs: Sequence[tuple[str, str, str]]) -> tuple[str, ...]:
    """A sentence for each thing that was another one then; a long hash is told by its beginning.

    Args:
        pairs: What it is, then and now; empty where it was not known.
    """
    return tuple(f"{what}: {_short(then)} then, {_short(now)} now" for what, then, now in pairs if then != now)


def _short(value: str) -> str:
    return f"{value[:16]}{DIRTY if value.endswith(DIRTY) else ''}" or "none"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
