"""One version of a model, checked and warm: it scored its golden rows as training did, or it was not loaded."""

from __future__ import annotations

import struct
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.encoder import RowEncoder
from appliance.errors import BadInput, BundleRefused
from appliance.features import FeatureMaker, calibrate, calibrate_classes
from appliance.schema import NEWEST_FORMAT, FeatureSchema, Golden, Raw
from appliance.serving.interval import FILES, Interval
from appliance.serving.lightgbm_c import Booster, SingleRow, is_close
from appliance.serving.link import Link, find_link
from storage.bundles import Manifest, read_bundle
from storage.errors import BundleCorrupt, BundleNotFound
from storage.layout import Layout

PARALLEL_CELLS = 20_000
"""Rows times trees from which a second thread pays; below it, waking the thread costs more than it brings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedModel:
    """A version that serves.

    Attributes:
        example: A row it takes, from the golden rows.
        interval: Of a regression that declares one; one that no golden row proves is not served.
    """

    name: str
    version: int
    manifest: Manifest
    schema: FeatureSchema
    encoder: RowEncoder
    booster: Booster
    example: dict[str, Raw]
    interval: Interval | None
    _link: Link | None
    _features: FeatureMaker | None
    _pack: struct.Struct
    _rows: threading.local

    def score(self, matrix: NDArray[np.float64], *, threads: int = 1) -> tuple[list[float], list[float]]:
        """Score encoded rows, bit for bit as ``score_one`` scores each.

        Args:
            matrix: float64, C-contiguous, shape ``(rows, columns)``.
            threads: At most so many; few rows are scored by one.

        Returns:
            Outputs, then raw scores, each flat and row-major ``rows * outputs``. An output is the value, the positive
            class's probability, calibrated where the version is, or one probability a class; a raw score the sum of its
            trees. A model without a link has its outputs as raw scores.
        """
        if self._features is not None:
            matrix = self._features.matrix(matrix)
        pays = len(matrix) * self.booster.iterations * self.booster.outputs >= PARALLEL_CELLS
        found = self.booster.predict(matrix, threads=threads if pays else 1, raw=self._link is not None)
        raw: list[float] = found.ravel().tolist()
        return (raw if self._link is None else self._link(raw)), raw

    def score_one(self, row: Sequence[float]) -> tuple[list[float], list[float]]:
        """Outputs and raw scores of one encoded row, through this thread's own prepared call."""
        single = getattr(self._rows, "single", None) or self._prepare()
        if self._features is not None:
            row = self._features.row(row)
        self._pack.pack_into(single.buffer, 0, *row)
        raw = single.predict()
        return (raw if self._link is None else self._link(raw)), raw

    def ends(self, matrix: NDArray[np.float64], *, threads: int = 1) -> list[float] | None:
        """Low and high of each encoded row, flat, bit for bit as ``ends_one`` gives each; None without an interval."""
        if self.interval is None:
            return None
        pays = len(matrix) * self.booster.iterations >= PARALLEL_CELLS
        features = matrix if self._features is None else self._features.matrix(matrix)
        return self.interval.matrix(features, threads=threads if pays else 1)

    def ends_one(self, row: Sequence[float]) -> list[float] | None:
        """Low and high of one encoded row; None without an interval."""
        if self.interval is None:
            return None
        return self.interval.row(row if self._features is None else self._features.row(row))

    def contributions(self, matrix: NDArray[np.float64]) -> NDArray[np.float64]:
        """What each column added to the raw score, shape ``(rows, outputs, columns + 1)``; the last is the base."""
        if self._features is None:
            return self.booster.contributions(matrix)
        return self._features.by_column(self.booster.contributions(self._features.matrix(matrix)))

    def _prepare(self) -> SingleRow:
        self._rows.single = self.booster.single_row(raw=self._link is not None)
        return self._rows.single  # type: ignore[no-any-return]  # a thread's local has no types


def load_model(layout: Layout, name: str, version: int) -> LoadedModel:
    """Read a published bundle, prove it, and warm it.

    Raises:
        BundleRefused: A file differs from its hash, cannot be read, or the golden rows score otherwise than they did
            when the model was trained.
    """
    try:
        manifest, files = read_bundle(layout, name, version)
        schema = msgspec.json.decode(files["schema.json"], type=FeatureSchema)
        golden = msgspec.json.decode(files["golden.json"], type=Golden)
        text = files["model.txt"]
    except (BundleNotFound, BundleCorrupt) as exc:
        raise BundleRefused(str(exc)) from exc
    except KeyError as exc:
        raise BundleRefused(
            f"model {name!r} version {version}: the bundle has no {exc.args[0]}; train it again"
        ) from exc
    except msgspec.DecodeError as exc:
        raise BundleRefused(
            f"model {name!r} version {version}: the bundle cannot be read: {exc}; train it again"
        ) from exc
    booster = Booster(text)
    _require_shape(schema, booster)
    model = LoadedModel(
        name=name, version=version, manifest=manifest, schema=schema, encoder=RowEncoder(schema), booster=booster,
        example=golden.rows[0] if golden.rows else {column.name: None for column in schema.columns},
        interval=_interval_of(files, golden), _link=_link_of(text, schema),
        _features=FeatureMaker(schema) if schema.features else None,
        _pack=struct.Struct(f"{booster.columns}d"), _rows=threading.local(),
    )  # fmt: skip
    _require_golden(model, golden)
    return model


def _link_of(text: bytes, schema: FeatureSchema) -> Link | None:
    """LightGBM's link, and after it the version's calibration."""
    link, calibration, classes = find_link(text), schema.calibration, schema.class_calibrations
    if calibration is None and not classes:
        return link
    if link is None:
        raise BundleRefused(
            f"model {schema.model!r} version {schema.version}: it is calibrated, but its objective gives no "
            "probabilities; train it again"
        )
    if calibration is None:
        return lambda raw: calibrate_classes(link(raw), classes)
    return lambda raw: calibrate(link(raw), calibration)


def _interval_of(files: Mapping[str, bytes], golden: Golden) -> Interval | None:
    texts = [files[name] for name in FILES if name in files]
    return Interval(*texts) if len(texts) == len(FILES) and golden.intervals else None


def _require_shape(schema: FeatureSchema, booster: Booster) -> None:
    where = f"model {schema.model!r} version {schema.version}"
    if schema.format > NEWEST_FORMAT:
        raise BundleRefused(
            f"{where}: schema.json has format {schema.format}, this release reads up to {NEWEST_FORMAT}; "
            "upgrade the appliance, or train it again"
        )
    if booster.columns != schema.width:
        raise BundleRefused(f"{where}: model.txt has {booster.columns} columns, schema.json {schema.width}")
    if len(schema.class_calibrations) not in {0, schema.outputs}:
        raise BundleRefused(f"{where}: {len(schema.class_calibrations)} calibrations for {schema.outputs} classes")
    if booster.outputs != schema.outputs:
        raise BundleRefused(f"{where}: model.txt gives {booster.outputs} outputs, schema.json {schema.outputs}")


def _require_golden(model: LoadedModel, golden: Golden) -> None:
    """Score the golden rows both ways and compare them with training's own outputs."""
    where = f"model {model.name!r} version {model.version}"
    if len(golden.rows) != len(golden.outputs):
        raise BundleRefused(f"{where}: golden.json has {len(golden.rows)} rows but {len(golden.outputs)} outputs")
    try:
        encoded = model.encoder.encode(golden.rows)
    except BadInput as exc:
        raise BundleRefused(f"{where}: a golden row does not fit schema.json: {exc}; train it again") from exc
    many, _ = model.score(encoded.matrix)
    _require_golden_intervals(model, golden, encoded.matrix)
    for index, expected in enumerate(golden.outputs):
        start = index * model.booster.outputs
        one, _ = model.score_one(encoded.matrix[index].tolist())
        for found in (many[start : start + model.booster.outputs], one):
            if len(found) != len(expected) or not all(map(is_close, found, expected)):
                raise BundleRefused(
                    f"{where}: golden row {index} scores {found}, training said {expected}; the bundle or the "
                    "installed LightGBM changed: restore the bundle, or train again"
                )


def _require_golden_intervals(model: LoadedModel, golden: Golden, matrix: NDArray[np.float64]) -> None:
    many = model.ends(matrix)
    if many is None:
        return
    where = f"model {model.name!r} version {model.version}"
    if len(golden.intervals) != len(golden.rows):
        raise BundleRefused(
            f"{where}: golden.json has {len(golden.rows)} rows but {len(golden.intervals)} intervals; train it again"
        )
    for index, expected in enumerate(golden.intervals):
        for found in (many[2 * index : 2 * index + 2], model.ends_one(matrix[index].tolist()) or []):
            if len(expected) != len(found) or not all(map(is_close, found, expected)):
                raise BundleRefused(
                    f"{where}: the interval of golden row {index} is {found}, training said {expected}; the bundle or "
                    "the installed LightGBM changed: restore the bundle, or train again"
                )
