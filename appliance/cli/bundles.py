"""bundle: versions that go from one box to another, and whose are taken in."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from appliance.cli.caller import caller
from appliance.cli.house import open_house
from appliance.cli.output import Flag, Json, print_json, print_table
from appliance.signing import fingerprint

app = App(name="bundle", help="A version as one signed file for another box: export, import, trust.")


@app.command(name="export")
def export(name: str, *, version: int | None = None, out: Path = Path(), json: Json = False) -> None:
    """Write a version as one signed file, for a box that may have no network.

    Args:
        name: The model.
        version: What serves when left out, else the champion, else the newest.
        out: The file, or the directory to write NAME-VERSION.bundle to.
    """
    made = open_house().transfer.export(name, version, out=out, who=caller())
    if json:
        print_json({"model": made.model, "version": made.version, "path": str(made.path), "bytes": made.bytes,
                    "key": made.key})  # fmt: skip
        return
    print(f"{made.path}   {made.bytes / 1e6:.1f} MB, signed by {fingerprint(made.key)}")
    print(f"on the other box: appliance bundle import {made.path.name} --deploy")


@app.command(name="import")
def import_file(
    file: Path,
    *,
    name: Annotated[str | None, Parameter(name="--as")] = None,
    deploy: Flag = False,
    json: Json = False,
) -> None:
    """Take in a version that a trusted box signed; the same file twice is one version.

    Args:
        file: What 'bundle export' wrote.
        name: What the model is called here; as there when left out.
        deploy: Let it serve at once.
    """
    house = open_house()
    came = house.transfer.import_file(file, who=caller(), name=name)
    if deploy:
        house.deployments.deploy(came.model, came.version, who=caller(), reason=f"imported from {came.origin.box}")
    serves = house.models.get(came.model).deployed == came.version
    if json:
        print_json({"model": came.model, "version": came.version, "alias": came.alias, "new": came.is_new,
                    "origin": came.origin, "deployed": serves})  # fmt: skip
        return
    where = f"{came.origin.model} {came.origin.version} of {came.origin.box}"
    print(f"{came.model} version {came.version} is {where}" + ("" if came.is_new else ", and was here already"))
    if serves:
        print(f"{came.model} version {came.version} serves")
    else:
        print(f"let it serve with 'appliance deploy {came.model} --version {came.version}'")


@app.command(name="key")
def key(*, json: Json = False) -> None:
    """This box's public key: what another box is told to trust."""
    mine = open_house().transfer.signing.key
    if json:
        print_json({"key": mine, "fingerprint": fingerprint(mine)})
        return
    print(mine)
    print(f"fingerprint {fingerprint(mine)}")


@app.command(name="trust")
def trust(name: str, key: str, *, json: Json = False) -> None:
    """Take in what another box signs.

    Args:
        name: What this box calls the other.
        key: What 'appliance bundle key' prints there.
    """
    known = open_house().transfer.trust(name, key, who=caller())
    if json:
        print_json(known)
        return
    print(f"bundles of {known.name} are taken in; its fingerprint is {fingerprint(known.key)}")


@app.command(name="trusted")
def trusted(*, json: Json = False) -> None:
    """The boxes whose bundles are taken in."""
    found = open_house().transfer.signing.trusted()
    if json:
        print_json({"trusted": found})
        return
    print_table(("box", "fingerprint", "key"), [(one.name, fingerprint(one.key), one.key) for one in found])


@app.command(name="distrust")
def distrust(name: str) -> None:
    """Take nothing in from a box any more; the versions that came stay."""
    open_house().transfer.distrust(name, who=caller())
    print(f"bundles of {name} are refused from now on")
