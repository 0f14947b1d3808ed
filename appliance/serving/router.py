"""Which version answers for a model: follows ``deployments.json`` and swaps between two requests."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import msgspec

from appliance.errors import BundleRefused, NotFound, NotReady
from appliance.serving.loaded_model import LoadedModel, load_model
from storage.layout import Layout


class Roles(msgspec.Struct, frozen=True, kw_only=True):
    """The versions of one model that serve, by role."""

    champion: int | None = None


class Deployments(msgspec.Struct, frozen=True, kw_only=True):
    """``deployments.json``: what shall serve.

    Attributes:
        revision: Grows with each change.
        models: Model to its roles.
    """

    revision: int
    models: dict[str, Roles]


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """What serves one model, and why that is not what was asked for, if it is not.

    Attributes:
        champion: None when no version could be loaded yet.
        refused: A sentence about the deployed version that was refused, else empty.
        wanted: The version that ``deployments.json`` names.
    """

    name: str
    wanted: int
    champion: LoadedModel | None
    refused: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Routes:
    """Everything that serves, as one value: a request that took it finishes on it.

    Attributes:
        problem: Why ``deployments.json`` itself cannot be followed, else empty.
    """

    revision: int = 0
    routes: Mapping[str, Route] = field(default_factory=dict)
    problem: str = ""


class Router:
    """Owns the routes of this process.

    ``current`` is replaced as a whole, so a reader needs no lock. ``poll`` may run in another thread than the readers;
    two polls never run at once.
    """

    def __init__(self, layout: Layout, *, load: Callable[[Layout, str, int], LoadedModel] = load_model) -> None:
        self._layout = layout
        self._load = load
        self._seen: tuple[int, int, int] | None = None
        self.current = Routes()

    def find(self, name: str, version: int | None = None) -> LoadedModel:
        """The version that answers for a model.

        Raises:
            NotFound: No such model is deployed, or that version of it is not; names those that are.
            NotReady: The model is deployed, but none of its versions could be loaded.
        """
        route = self.current.routes.get(name)
        if route is None:
            known = ", ".join(sorted(self.current.routes)) or "none yet; deploy one with 'appliance deploy NAME'"
            raise NotFound(f"no model {name!r} is deployed; deployed: {known}")
        if route.champion is None:
            raise NotReady(f"model {name!r} is deployed, but version {route.wanted} was refused: {route.refused}")
        if version is not None and version != route.champion.version:
            raise NotFound(
                f"model {name!r} version {version} is not deployed; deployed: version {route.champion.version}"
            )
        return route.champion

    def has_changed(self) -> bool:
        """Whether ``deployments.json`` was replaced since the last poll; one ``stat``."""
        return self._stamp() != self._seen

    def poll(self) -> bool:
        """Follow ``deployments.json`` if it changed: load, prove and swap; True when something was swapped.

        A bundle that is refused leaves the version before it serving, with the reason in its route.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return False
        self._seen = stamp
        try:
            wanted = self._read() if stamp else Deployments(revision=0, models={})
        except (OSError, msgspec.DecodeError) as exc:
            self.current = Routes(
                revision=self.current.revision, routes=self.current.routes,
                problem=f"cannot read {self._layout.deployments}: {exc}; run 'appliance deploy' again",
            )  # fmt: skip
            return False
        before = self.current.routes
        self.current = Routes(
            revision=wanted.revision,
            routes={
                name: self._follow(name, roles.champion, before.get(name))
                for name, roles in sorted(wanted.models.items())
                if roles.champion is not None
            },
        )
        return True

    def _follow(self, name: str, version: int, before: Route | None) -> Route:
        champion = before.champion if before else None
        if champion and champion.version == version:
            return Route(name=name, wanted=version, champion=champion)
        try:
            return Route(name=name, wanted=version, champion=self._load(self._layout, name, version))
        except BundleRefused as exc:
            return Route(name=name, wanted=version, champion=champion, refused=str(exc))

    def _read(self) -> Deployments:
        return msgspec.json.decode(self._layout.deployments.read_bytes(), type=Deployments)

    def _stamp(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._layout.deployments)  # noqa: PTH116  (five times a second; Path.stat costs thrice)
        except OSError:
            return None
        return found.st_ino, found.st_mtime_ns, found.st_size
