"""Which version answers for a model: follows ``deployments.json`` and swaps between two requests."""

from __future__ import annotations

import logging
import os
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Literal

import msgspec

from appliance.errors import ApplianceError, NotFound, NotReady
from appliance.schema import FeatureSchema
from appliance.serving.loaded_model import LoadedModel, load_model
from appliance.serving.refusals import Refusal
from appliance.serving.shadow import missing_columns
from storage.bundles import bundle_path, list_bundles
from storage.layout import Layout

CHAMPION: Literal["champion"] = "champion"
CANARY: Literal["canary"] = "canary"
SHADOW: Literal["shadow"] = "shadow"
DIRECT: Literal["direct"] = "direct"
"""Not a role to be deployed in: the version was addressed by its number."""
_BUCKETS = 100
_UNKNOWN = -1
_BundleStamp = tuple[tuple[str, int, int, int], ...]
log = logging.getLogger("appliance.api")


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of one model that serve, by role.

    Attributes:
        percent: The canary's share of the requests, 0 to 100; without a canary it means nothing.
    """

    champion: int | None = None
    canary: int | None = None
    percent: int = 0
    shadow: int | None = None


class Deployments(msgspec.Struct, frozen=True, kw_only=True):
    """``deployments.json``: what shall serve.

    Attributes:
        revision: Grows with each change.
        models: Model to its roles.
    """

    revision: int
    models: dict[str, Roles]


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Who answers one request; a struct, since making one costs a tenth.

    Attributes:
        role: What the event of the answer says.
        shadow: Scores the same rows once the answer has left; None without one.
    """

    model: LoadedModel
    role: Literal["champion", "canary", "direct"]
    shadow: LoadedModel | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What serves one model, and why that is not what was asked for, if it is not.

    A canary or a shadow that is refused is left out, and the champion answers its share; an earlier canary does not
    come back in its place.

    Attributes:
        champion: None when no version could be loaded yet.
        refused: A sentence about the deployed version that was refused, else empty.
        wanted: The champion that ``deployments.json`` names.
        canary: None without one, or when it was refused.
        percent: The canary's share of the requests.
        shadow: None without one, or when it was refused.
        feeds: The canary's rows have every column that the shadow needs.
        refusals: About each role whose version was refused, the champion's too.
        classes: Of every published version, those of the champion first: a label is about the version that made the
            prediction, which may not serve any more.
    """

    name: str
    wanted: int
    champion: LoadedModel | None
    canary: LoadedModel | None = None
    percent: int = 0
    shadow: LoadedModel | None = None
    feeds: bool = True
    refusals: Mapping[str, Refusal] = field(default_factory=dict)
    classes: tuple[str, ...] = ()

    @property
    def refused(self) -> str:
        """Why the champion that was asked for does not serve, else empty."""
        found = self.refusals.get(CHAMPION)
        return found.reason if found else ""

    @property
    def serving(self) -> dict[str, LoadedModel]:
        """Role to the version that serves in it."""
        found = ((CHAMPION, self.champion), (CANARY, self.canary), (SHADOW, self.shadow))
        return {role: model for role, model in found if model is not None}

    @property
    def deployed(self) -> dict[str, int]:
        """Role to the version that ``deployments.json`` names for it."""
        found = {role: model.version for role, model in self.serving.items()}
        return {**found, CHAMPION: self.wanted, **{role: one.version for role, one in self.refusals.items()}}

    @property
    def loaded(self) -> Iterator[LoadedModel]:
        """Every version that can be addressed, each once."""
        seen = set()
        for model in (self.champion, self.canary, self.shadow):
            if model is not None and model.version not in seen:
                seen.add(model.version)
                yield model

    def choose(self, key: str | None) -> Choice | None:
        """Who answers a request with that key; None when there is no champion."""
        if self.champion is None:
            return None
        if self.canary is not None and in_share(self.canary, key, self.percent):
            return Choice(model=self.canary, role=CANARY, shadow=self.shadow if self.feeds else None)
        return Choice(model=self.champion, role=CHAMPION, shadow=self.shadow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Everything that serves, as one value: a request that took it finishes on it.

    Attributes:
        problem: Why ``deployments.json`` itself cannot be followed, else empty.
    """

    revision: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict)
    problem: str = ""

    @property
    def refusals(self) -> list[Refusal]:
        """Everything that was deployed and does not serve."""
        found = [refusal for route in self.routes.values() for refusal in route.refusals.values()]
        if self.problem:
            found.append(Refusal(model="", role="", version=0, serving=None, reason=self.problem))
        return found


class Router:
    """Owns the routes of this process.

    ``current`` is replaced as a whole, so a reader needs no lock. ``poll`` may run in another thread than the readers;
    two polls never run at once.
    """

    def __init__(self, layout: Layout, *, load: Callable[[Layout, str, int], LoadedModel] = load_model) -> None:
        self._layout = layout
        self._load = load
        self._seen: tuple[int, int, int] | None = None
        self._unfinished = False
        self._refused: dict[tuple[str, int], _BundleStamp] = {}
        self._classes: dict[tuple[str, int], tuple[str, ...]] = {}
        self.current = Routes()

    def find(self, name: str, version: int | None = None) -> LoadedModel:
        """The champion, or the version asked for if it is deployed in any role.

        Raises:
            NotFound: No such model is deployed, or that version of it is not; names those that are.
            NotReady: The model is deployed, but none of its versions could be loaded.
        """
        route = self._route(name)
        if version is not None:
            for model in route.loaded:
                if model.version == version:
                    return model
        if route.champion is None:
            raise _not_ready(route)
        if version is None:
            return route.champion
        known = ", ".join(str(model.version) for model in route.loaded)
        raise NotFound(f"model {name!r} version {version} is not deployed; deployed: version {known}")

    def choose(self, name: str, key: str | None = None) -> Choice:
        """Who answers a request that addressed no version: the champion, or the canary for its share of the keys.

        Args:
            name: The model.
            key: Who or what the request is about: the same key gets the same version while the canary stands, and a
                larger percentage only adds keys to it. None: by chance.

        Raises:
            NotFound: No such model is deployed.
            NotReady: Its champion could not be loaded.
        """
        route = self._route(name)
        choice = route.choose(key)
        if choice is None:
            raise _not_ready(route)
        return choice

    def classes(self, name: str) -> tuple[str, ...]:
        """The classes that a label of that model may have, by whatever version was asked; empty for regression.

        Raises:
            NotFound: No such model is deployed.
        """
        return self._route(name).classes

    def _route(self, name: str) -> Route:
        route = self.current.routes.get(name)
        if route is None:
            known = ", ".join(sorted(self.current.routes)) or "none yet; deploy one with 'appliance deploy NAME'"
            raise NotFound(f"no model {name!r} is deployed; deployed: {known}")
        return route

    def has_changed(self) -> bool:
        """Whether ``deployments.json`` or a refused bundle was replaced since the last poll; mostly one ``stat``.

        Also when the last poll could not be carried through.
        """
        return self._unfinished or self._stamp() != self._seen or self._is_mended()

    def poll(self) -> bool:
        """Follow ``deployments.json`` if it changed: load, prove and swap; True when something was swapped.

        A bundle that is refused leaves the version before it serving, with the reason in its route; it is tried again
        when its files change. A file that was followed and is missing withdraws nothing: ``deployments.json`` without
        models does that. What else fails leaves its model as it was, and is tried again with the next poll.
        """
        stamp = self._stamp()
        if stamp == self._seen and not self._unfinished and not self._is_mended():
            return False
        self._seen, self._unfinished, self._refused = stamp, False, {}
        if stamp is None and self.current.routes:
            self._keep(f"{self._layout.deployments} is missing; run 'appliance deploy' again")
            return False
        try:
            wanted = self._read() if stamp else Deployments(revision=0, models={})
        except (OSError, msgspec.DecodeError) as exc:
            self._unfinished = isinstance(exc, OSError)
            self._keep(f"cannot read {self._layout.deployments}: {exc}; run 'appliance deploy' again")
            return False
        self.current = self._follow_all(wanted)
        self._unfinished = bool(self.current.problem)
        return True

    def _keep(self, problem: str) -> None:
        """What serves goes on, with a reason why nothing newer does."""
        self.current = Routes(revision=self.current.revision, routes=self.current.routes, problem=problem)

    def _follow_all(self, wanted: Deployments) -> Routes:
        """The routes of every deployed model; one that cannot be followed keeps its own, and the others go on."""
        routes, problems = {}, []
        for name, roles in sorted(wanted.models.items()):
            before = self.current.routes.get(name)
            try:
                if roles.champion is not None:
                    routes[name] = self._follow(name, roles.champion, roles, before)
            except Exception as exc:
                # The border to whatever the disk holds: the other models, and the versions that serve, must go on.
                problems.append(f"cannot follow the deployment of model {name!r}: {str(exc) or repr(exc)}")
                if problems[-1] not in self.current.problem:
                    log.exception(
                        "model %s: its deployment cannot be followed; trying again", name, extra={"model": name}
                    )
                if before is not None:
                    routes[name] = before
        return Routes(revision=wanted.revision, routes=routes, problem="; ".join(problems))

    def _follow(self, name: str, version: int, roles: Roles, before: Route | None) -> Route:
        published = self._read_published(name)
        known = {model.version: model for model in before.loaded} if before else {}
        reasons: dict[str, tuple[int, str]] = {}

        def take(role: str, wanted: int | None) -> LoadedModel | None:
            if wanted is None:
                return None
            stamp = _stamp_bundle(self._layout, name, wanted)
            try:
                if wanted not in known:
                    known[wanted] = self._load(self._layout, name, wanted)
            except Exception as exc:
                # The border to whatever lies in a bundle: the old version and the other models are served all the same.
                if not isinstance(exc, ApplianceError):
                    log.exception("model %s version %d could not be loaded", name, wanted, extra={"model": name})
                reasons[role] = wanted, str(exc) or repr(exc)
                self._refused[name, wanted] = stamp
                return None
            return known[wanted]

        champion = take(CHAMPION, version) or (before.champion if before else None)
        canary, shadow = take(CANARY, roles.canary), take(SHADOW, roles.shadow)
        if champion and shadow and (missing := missing_columns(champion.schema, shadow.schema)):
            reasons[SHADOW] = shadow.version, _not_fed(champion, shadow, missing)
            shadow = None
        serving = champion.version if champion else None
        return Route(
            name=name, wanted=version, champion=champion, canary=canary, percent=roles.percent, shadow=shadow,
            feeds=not (canary and shadow and missing_columns(canary.schema, shadow.schema)),
            refusals={
                role: Refusal(model=name, role=role, version=wanted, serving=serving, reason=reason)
                for role, (wanted, reason) in reasons.items()
            },
            classes=tuple(dict.fromkeys([*(champion.schema.classes if champion else ()), *published])),
        )  # fmt: skip

    def _read_published(self, name: str) -> list[str]:
        """The classes of every published version.

        Raises:
            OSError: The model's directory cannot be read.
        """
        found: list[str] = []
        for version in list_bundles(self._layout, name):
            if (name, version) not in self._classes:
                try:
                    content = (bundle_path(self._layout, name, version) / "schema.json").read_bytes()
                    schema = msgspec.json.decode(content, type=FeatureSchema)
                except (OSError, msgspec.DecodeError):
                    continue  # what cannot be read cannot be deployed either
                self._classes[name, version] = schema.classes
            found += self._classes[name, version]
        return found

    def _is_mended(self) -> bool:
        return any(_stamp_bundle(self._layout, *bundle) != stamp for bundle, stamp in self._refused.items())

    def _read(self) -> Deployments:
        return msgspec.json.decode(self._layout.deployments.read_bytes(), type=Deployments)

    def _stamp(self) -> tuple[int, int, int] | None:
        """What changes when ``deployments.json`` is replaced or written; None when there is none."""
        try:
            found = os.stat(self._layout.deployments)  # noqa: PTH116  (five times a second; Path.stat costs thrice)
        except FileNotFoundError:
            return None
        except OSError as exc:
            return _UNKNOWN, _UNKNOWN, exc.errno or _UNKNOWN  # reading it says what is wrong
        return found.st_ino, found.st_mtime_ns, found.st_size


def in_share(canary: LoadedModel, key: str | None, percent: int) -> bool:
    """Whether a request goes to the canary: a stable hash of model, version and key, or chance without a key.

    Each canary draws its keys anew, so that not always the same callers meet an unproven version.
    """
    if key is None:
        return random.random() * _BUCKETS < percent  # noqa: S311  (a share, not a secret)
    salt = f"{canary.name}@{canary.version}".encode()
    digest = blake2b(salt + b"\0" + key.encode(), digest_size=8).digest()
    return int.from_bytes(digest) * _BUCKETS < percent << 64


def _stamp_bundle(layout: Layout, name: str, version: int) -> _BundleStamp:
    """What changes when a file of a bundle is replaced or written."""
    try:
        with os.scandir(bundle_path(layout, name, version)) as entries:
            facts = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return ()
    return tuple(sorted((file, found.st_ino, found.st_mtime_ns, found.st_size) for file, found in facts))


def _not_fed(champion: LoadedModel, shadow: LoadedModel, missing: Sequence[str]) -> str:
    return (
        f"version {shadow.version} cannot be the shadow: it needs {', '.join(missing)}, which the champion, version "
        f"{champion.version}, does not take; deploy another shadow, or try it as a canary"
    )


def _not_ready(route: Route) -> NotReady:
    return NotReady(f"model {route.name!r} is deployed, but version {route.wanted} was refused: {route.refused}")
