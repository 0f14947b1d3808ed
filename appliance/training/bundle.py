"""The files of a bundle: what serving and monitoring get of a training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

import appliance
from appliance.card_figures import draw_figures
from appliance.card_page import render_card
from appliance.model_card import ModelCard, Record
from appliance.model_spec import ModelSpec, dump_spec
from appliance.monitoring.losses import LOSSES
from appliance.schema import FeatureSchema, Golden, Raw
from appliance.serving.interval import FILES
from appliance.training.contest import Incumbent
from appliance.training.precedent import left_out_by
from appliance.training.record import installed_hash
from appliance.training.train import TrainedModel, with_version
from storage.bundles import Manifest, read_bundle
from storage.layout import Layout
from storage.readings import Readings

MODEL, SCHEMA, REFERENCE, GOLDEN, CARD = "model.txt", "schema.json", "reference.json", "golden.json", "card.json"
DECLARATION = "model.toml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a version came from.

    Attributes:
        seconds: How long its training took.
        record: What it ran on and with.
        readings: How the dataset's text files were read where that was in question.
    """

    version: int
    run_id: str
    dataset_version: int
    created_at: datetime
    seconds: float
    record: Record
    readings: Readings


def reference_file(trained: TrainedModel) -> bytes:
    """What monitoring compares with: the training rows' columns, the holdout's outputs, labels and metrics."""
    from appliance.monitoring.reference import assemble_reference, with_groups  # noqa: PLC0415  (loads SciPy)

    reference = assemble_reference(
        trained.reference, trained.schema, outputs=trained.outputs, labels=trained.labels,
        quality=trained.judgement.metrics, importance={item.column: item.share for item in trained.importance},
    )  # fmt: skip
    return msgspec.json.encode(with_groups(reference, trained.schema, trained.protected, trained.watched))


def bundle_files(spec: ModelSpec, trained: TrainedModel, card: ModelCard, reference: bytes) -> dict[str, bytes]:
    """Name to content, without the manifest."""
    return {
        MODEL: trained.fitted.text.encode(),
        SCHEMA: _json(with_version(trained.schema, card.version)),
        REFERENCE: reference,
        GOLDEN: msgspec.json.encode(trained.golden),
        CARD: _json(card),
        DECLARATION: dump_spec(spec).encode(),
        **{name: text.encode() for name, text in zip(FILES, trained.interval, strict=False)},
        **({LOSSES: msgspec.json.encode(trained.losses)} if trained.losses else {}),
    }


def model_card(spec: ModelSpec, trained: TrainedModel, origin: Origin) -> ModelCard:
    """What the training did and found."""
    judgement, split = trained.judgement, trained.split
    return ModelCard(
        model=spec.name, version=origin.version, task=trained.schema.task.value, target=spec.target,
        dataset=spec.dataset, dataset_version=origin.dataset_version, created_at=origin.created_at.isoformat(),
        run_id=origin.run_id, rows=trained.rows, rows_train=len(split.fit) + len(split.stop),
        rows_stop=len(split.stop), rows_holdout=len(split.holdout), seconds=origin.seconds, split=split.sentence,
        decisions=trained.decisions, classes=trained.schema.classes,
        columns=tuple(column.name for column in trained.schema.columns), metrics=judgement.metrics,
        baseline=judgement.baseline, primary=judgement.primary, champion=judgement.champion,
        champion_version=judgement.champion_version, gate=judgement.gate, importance=trained.importance,
        warnings=trained.warnings, iterations=trained.fitted.iterations, params=dict(trained.params), seed=spec.seed,
        code_version=appliance.__version__, lock_hash=installed_hash(), purpose=spec.purpose, owner=spec.owner,
        threshold=trained.schema.threshold, calibrated=bool(trained.schema.calibrations),
        evaluation=trained.evaluation, record=origin.record, trials=trained.trials,
        cross_validation=trained.cross_validation,
        readings={
            column.name: origin.readings[column.name]
            for column in trained.schema.columns
            if column.name in origin.readings
        },
    )  # fmt: skip


def card_files(card: ModelCard, example: Mapping[str, object], api_url: str) -> dict[str, bytes]:
    """The card for people and programs, and its pictures one by one: name to content.

    Args:
        card: What the training did and found.
        example: A row that the model takes.
        api_url: Of the inference API that will serve it.
    """
    files = {"card.html": render_card(card, api_url=api_url, example=dict(example)).encode(), CARD: _json(card)}
    if card.evaluation is not None:
        pictures = draw_figures(card.evaluation, card.classes)
        files |= {f"{name}.svg": picture.encode() for name, picture in pictures.items()}
    return files


def manifest_of(card: ModelCard) -> Manifest:
    """The manifest's facts; its hashes are computed when it is published."""
    return Manifest(
        model=card.model, version=card.version, task=card.task, created_at=card.created_at, run_id=card.run_id,
        dataset=card.dataset, dataset_version=card.dataset_version, code_version=card.code_version, files={},
    )  # fmt: skip


def read_incumbent(layout: Layout, spec: ModelSpec, version: int) -> Incumbent:
    """The champion out of its own bundle; columns that it left out of another dataset say nothing of this one.

    Raises:
        BundleNotFound: It is not published.
        BundleCorrupt: It is damaged.
    """
    _, files = read_bundle(layout, spec.name, version)
    schema = msgspec.json.decode(files[SCHEMA], type=FeatureSchema)
    card = msgspec.json.decode(files[CARD], type=ModelCard)
    left_out = left_out_by(card.warnings) if card.dataset == spec.dataset else {}
    return Incumbent(
        version=version, text=files[MODEL].decode(), schema=schema, left_out=left_out,
        dataset=(card.dataset, card.dataset_version),
    )  # fmt: skip


def read_card(layout: Layout, model: str, version: int) -> tuple[ModelCard, dict[str, Raw]]:
    """A published version's card and its first golden row.

    Raises:
        BundleNotFound: It is not published.
        BundleCorrupt: It is damaged.
    """
    _, files = read_bundle(layout, model, version)
    golden = msgspec.json.decode(files[GOLDEN], type=Golden)
    return msgspec.json.decode(files[CARD], type=ModelCard), golden.rows[0]


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value))
