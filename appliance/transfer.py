"""Model versions that go from one box to another: exported signed, imported proved, ready to be deployed."""

from __future__ import annotations

import hashlib
import platform
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import msgspec

from appliance.errors import BadInput, BadModelSpec, BundleRefused, Conflict, NotAllowed, NotFound
from appliance.model_card import Gate, GateCheck, ModelCard
from appliance.model_spec import ModelSpec, dump_spec, parse_spec, require_sound
from appliance.models import Models
from appliance.schema import FeatureSchema
from appliance.settings import Settings
from appliance.signing import Signing, TrustedKey, fingerprint, is_signed
from storage.audit_rows import AuditEntry, append_audit
from storage.bundles import MANIFEST, Manifest, bundle_path, list_bundles, publish_bundle, read_bundle, replace_durably
from storage.errors import BundleCorrupt, BundleNotFound
from storage.layout import Layout
from storage.model_rows import (
    ModelRow,
    find_alias,
    find_model,
    find_version,
    put_model,
    put_version,
)
from storage.signed_bundles import Signature, SignedBundle, read_signed_bundle, write_signed_bundle
from storage.statedb import connect, transaction

if TYPE_CHECKING:
    from appliance.registry.registry import RunRecord

CHAMPION, CHALLENGER = "champion", "challenger"

MOST_BYTES = 2 << 30
"""Of a bundle's files together."""

ORIGIN = "origin.json"


class Origin(msgspec.Struct, frozen=True, kw_only=True):
    """Where an imported version came from.

    Attributes:
        model: What it is called there.
        box: What this box calls the other.
        key: The other's public key.
        manifest_sha256: Of the manifest it came with: the same bundle is taken in once.
    """

    model: str
    version: int
    box: str
    key: str
    made_on: str
    manifest_sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Exported:
    """A signed bundle; ``bytes`` is the size of the file."""

    model: str
    version: int
    path: Path
    bytes: int
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Imported:
    """A version that came from another box.

    Attributes:
        alias: champion or challenger.
        is_new: False when the same bundle was here already.
    """

    model: str
    version: int
    alias: str | None
    origin: Origin
    is_new: bool


class Transfer:
    """Signed bundles of one appliance."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._layout = settings.layout
        self.signing = Signing(settings.layout)

    def export(self, name: str, version: int | None = None, *, out: Path, who: str) -> Exported:
        """Write a version's bundle as one signed file.

        Args:
            name: The model.
            version: What serves when left out, else the champion, else the newest.
            out: The file, or a directory to write it to.
            who: For the audit.

        Raises:
            NotFound: No such model or version, or no such directory.
            BundleRefused: The bundle is damaged.
            StateUnwritable: The file cannot be written.
        """
        info = Models(self._settings).get(name)
        wanted = (info.deployed or info.champion or info.latest) if version is None else version
        if wanted is None:
            raise NotFound(f"model {name!r} has no version yet; train it with 'appliance train {name}'")
        try:
            _, files = read_bundle(self._layout, name, wanted)
        except BundleNotFound as exc:
            raise NotFound(str(exc)) from exc
        except BundleCorrupt as exc:
            raise BundleRefused(str(exc)) from exc
        path = out / f"{name}-{wanted}.bundle" if out.is_dir() else out
        if not path.parent.is_dir():
            raise NotFound(f"there is no directory {path.parent} to write {path.name} to")
        manifest = (bundle_path(self._layout, name, wanted) / MANIFEST).read_bytes()
        key = self.signing.key
        signature = Signature(key=key, signature=self.signing.sign(manifest), made_on=platform.node())
        write_signed_bundle(path, manifest, files, signature)
        self._audit(who, "bundle.export", name, f"version {wanted} to {path.name}")
        return Exported(model=name, version=wanted, path=path, bytes=path.stat().st_size, key=key)

    def import_file(self, path: Path, *, who: str, name: str | None = None) -> Imported:
        """Take in a signed bundle as the next version of its model, which is declared if it is not.

        Nothing of it is kept unless a trusted box signed it and it scores its golden rows here. It is the champion of
        a model that has none, else a challenger, since the rows it was measured on are not here; it serves when it is
        deployed. The declaration's schedule is left out: trainings happen where the data is.

        Args:
            path: The file.
            who: For the audit.
            name: What the model is called here; as there when left out.

        Raises:
            NotFound: No such file.
            NotAllowed: Its signer is not trusted, or the signature is not true.
            BundleRefused: It is damaged, or does not score its golden rows as it did when it was trained.
            Conflict: There is a model of that name with another task or target.
        """
        if not path.is_file():
            raise NotFound(f"there is no file {path}")
        try:
            found = read_signed_bundle(path, most_bytes=MOST_BYTES)
        except BundleCorrupt as exc:
            raise BundleRefused(str(exc)) from exc
        box = self._signer(found, path)
        origin = Origin(
            model=found.manifest.model, version=found.manifest.version, box=box, key=found.signature.key,
            made_on=found.signature.made_on, manifest_sha256=hashlib.sha256(found.manifest_bytes).hexdigest(),
        )  # fmt: skip
        spec, schema, card = _parts(found, path)
        spec = msgspec.structs.replace(spec, name=name or spec.name, schedule=None)
        require_sound(spec, origin=str(path))
        if (there := self._find_imported(spec.name, origin)) is not None:
            return there
        self._require_same_model(spec, schema)
        self._prove(found)
        return self._take_in(found, spec, card, origin, who)

    def trust(self, name: str, key: str, *, who: str) -> TrustedKey:
        """Take in what another box signs; see ``Signing.trust``.

        Raises:
            BadInput: The name or the key is none.
            Conflict: The name is taken by another key.
        """
        known = self.signing.trust(name, key)
        self._audit(who, "bundle.trust", name, fingerprint(known.key))
        return known

    def distrust(self, name: str, *, who: str) -> None:
        """Take nothing in from that box any more.

        Raises:
            NotFound: No key has that name.
        """
        known = self.signing.distrust(name)
        self._audit(who, "bundle.distrust", name, fingerprint(known.key))

    def _signer(self, found: SignedBundle, path: Path) -> str:
        try:
            true = is_signed(found.manifest_bytes, found.signature.signature, found.signature.key)
            box = self.signing.find_signer(found.signature.key)
        except BadInput as exc:
            raise NotAllowed(f"{path}: its signature names no key: {exc}") from exc
        if not true:
            raise NotAllowed(f"{path} was changed after it was signed: the signature does not fit its manifest")
        if box is None:
            raise NotAllowed(
                f"{path} is signed by a box that is not trusted here: {found.signature.made_on!r}, fingerprint "
                f"{fingerprint(found.signature.key)}. If 'appliance bundle key' says the same there, trust it: "
                f"appliance bundle trust NAME {found.signature.key}"
            )
        return box

    def _find_imported(self, model: str, origin: Origin) -> Imported | None:
        """The version that this very bundle became, if it was taken in before, or is the one that was exported."""
        for version in list_bundles(self._layout, model):
            directory = bundle_path(self._layout, model, version)
            came = directory / ORIGIN
            known = msgspec.json.decode(came.read_bytes(), type=Origin).manifest_sha256 if came.exists() else ""
            own = hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()
            if origin.manifest_sha256 in {known, own}:
                with closing(connect(self._layout.database, read_only=True)) as connection:
                    row = find_version(connection, model, version)
                if row is not None:
                    return Imported(model=model, version=version, alias=row.alias, origin=origin, is_new=False)
        return None

    def _require_same_model(self, spec: ModelSpec, schema: FeatureSchema) -> None:
        with closing(connect(self._layout.database, read_only=True)) as connection:
            row = find_model(connection, spec.name)
        if row is not None and (row.task, row.target) != (schema.task.value, schema.target):
            raise Conflict(
                f"model {spec.name!r} here is a {row.task} of {row.target!r}, the bundle's is a {schema.task.value} of "
                f"{schema.target!r}; import it by another name: --as NAME"
            )

    def _prove(self, found: SignedBundle) -> None:
        """Score its golden rows, apart from what is published here."""
        from appliance.serving.prove import prove_apart  # noqa: PLC0415  (loads NumPy and LightGBM's library)

        with TemporaryDirectory(dir=self._layout.tmp, prefix="import-") as directory:
            apart = Layout(root=Path(directory))
            for path in (apart.tmp, apart.models):
                path.mkdir()
            publish_bundle(apart, found.manifest, found.files)
            prove_apart(apart.root, found.manifest.model, found.manifest.version)

    def _take_in(self, found: SignedBundle, spec: ModelSpec, card: ModelCard, origin: Origin, who: str) -> Imported:
        """Register, publish, and write the version's row; in this order, so that a row always has its bundle."""
        from appliance.registry.registry import Registry  # noqa: PLC0415  (loads MLflow: seconds, 190 MB)
        from appliance.training.job import sync_aliases, version_row  # noqa: PLC0415  (loads LightGBM)

        registry = Registry(self._layout, self._settings.mlflow_uri)
        registered = registry.record(_run_of(spec, card, origin, found))
        now = datetime.now(UTC)
        with closing(connect(self._layout.database, read_only=True)) as connection:
            champion = find_alias(connection, spec.name, CHAMPION)
            is_declared = find_model(connection, spec.name) is not None
        card = msgspec.structs.replace(
            card, model=spec.name, version=registered.version, run_id=registered.run_id, champion=None,
            champion_version=None, gate=_gate_of(origin, champion.version if champion else None),
        )  # fmt: skip
        self._publish(found, spec, card, origin)
        row = version_row(card, alias=CHALLENGER if champion else CHAMPION)
        with closing(connect(self._layout.database)) as connection, transaction(connection):
            if not is_declared:
                put_model(connection, ModelRow(
                    name=spec.name, task=card.task, dataset=spec.dataset, target=spec.target, created_at=now,
                    updated_at=now,
                ))  # fmt: skip
                replace_durably(self._layout.specs / f"{spec.name}.toml", dump_spec(spec).encode())
            put_version(connection, row)
            append_audit(connection, AuditEntry(
                at=now, who=who, action="bundle.import", subject=spec.name,
                detail=f"version {card.version}, from {origin.box}: {origin.model} {origin.version}",
            ))  # fmt: skip
        sync_aliases(self._settings, registry, spec.name)
        return Imported(model=spec.name, version=card.version, alias=row.alias, origin=origin, is_new=True)

    def _publish(self, found: SignedBundle, spec: ModelSpec, card: ModelCard, origin: Origin) -> None:
        schema = msgspec.json.decode(found.files["schema.json"], type=FeatureSchema)
        schema = msgspec.structs.replace(schema, model=spec.name, version=card.version)
        files = {
            **found.files,
            "schema.json": msgspec.json.format(msgspec.json.encode(schema)),
            "card.json": msgspec.json.format(msgspec.json.encode(card)),
            "model.toml": dump_spec(spec).encode(),
            ORIGIN: msgspec.json.format(msgspec.json.encode(origin)),
        }
        manifest: Manifest = msgspec.structs.replace(
            found.manifest, model=spec.name, version=card.version, run_id=card.run_id
        )
        publish_bundle(self._layout, manifest, files)

    def _audit(self, who: str, action: str, subject: str, detail: str) -> None:
        entry = AuditEntry(at=datetime.now(UTC), who=who, action=action, subject=subject, detail=detail)
        with closing(connect(self._layout.database)) as connection, transaction(connection):
            append_audit(connection, entry)


def _parts(found: SignedBundle, path: Path) -> tuple[ModelSpec, FeatureSchema, ModelCard]:
    """What a bundle's files say, of one and the same model.

    Raises:
        BundleRefused: One is missing or cannot be read, or they are not about the manifest's model.
    """
    try:
        spec = parse_spec(found.files["model.toml"].decode(), origin=str(path))
        schema = msgspec.json.decode(found.files["schema.json"], type=FeatureSchema)
        card = msgspec.json.decode(found.files["card.json"], type=ModelCard)
    except KeyError as exc:
        raise BundleRefused(f"{path}: the bundle has no {exc.args[0]}; train that version again") from None
    except (msgspec.DecodeError, UnicodeDecodeError, BadModelSpec) as exc:
        raise BundleRefused(
            f"{path}: the bundle cannot be read: {exc}; was it made by a newer release? Upgrade this box first"
        ) from exc
    names = {found.manifest.model, spec.name, schema.model, card.model}
    if len(names) > 1:
        raise BundleRefused(f"{path}: its files are about several models: {', '.join(sorted(names))}")
    return spec, schema, card


def _gate_of(origin: Origin, champion: int | None) -> Gate:
    came = f"imported from {origin.box}, where it is version {origin.version} of {origin.model!r}"
    if champion is None:
        first = f"{came}; the first version here"
        return Gate(passed=True, reasons=(first,), checks=(GateCheck(passed=True, reason=first),))
    why = f"not compared with version {champion}: the rows that it was measured on are not here"
    checks = (GateCheck(passed=True, reason=came), GateCheck(passed=False, reason=why))
    return Gate(passed=False, reasons=(came, why), checks=checks)


def _run_of(spec: ModelSpec, card: ModelCard, origin: Origin, found: SignedBundle) -> RunRecord:
    from appliance.registry.registry import RunRecord  # noqa: PLC0415  (loaded already)

    metrics = dict(card.metrics) | {f"baseline_{name}": value for name, value in card.baseline.items()}
    tags = {
        "dataset": card.dataset, "dataset_version": str(card.dataset_version), "task": card.task,
        "target": card.target, "seed": str(card.seed), "code_version": card.code_version, "imported_from": origin.box,
        "imported_model": origin.model, "imported_version": str(origin.version), "imported_run": found.manifest.run_id,
    }  # fmt: skip
    return RunRecord(
        model=spec.name, run_name=f"{spec.name}, imported from {origin.box}",
        params={name: str(value) for name, value in card.params.items()}, tags=tags, metrics=metrics, curve=(),
        files={"model.txt": found.files["model.txt"], "model.toml": dump_spec(spec).encode()},
    )  # fmt: skip
