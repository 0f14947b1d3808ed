"""What a training needs to be done again: which rows, which code, which host; beside the declaration in the bundle."""

from __future__ import annotations

import hashlib
import os
import platform
import resource
import subprocess
from collections.abc import Sequence
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path

import appliance
from appliance.model_card import Record

DIRTY = "-dirty"
"""Stands behind a commit whose files were changed since."""

LIBRARIES = ("lightgbm", "polars", "numpy", "optuna", "duckdb", "mlflow")
"""Whose versions are named beside the hash of all of them."""


def make_record(dataset_sha256: str) -> Record:
    """The record of a training in this process, at its end.

    Args:
        dataset_sha256: Of the snapshot's Parquet files, in the order of its rows (``hash_files``).
    """
    return Record(
        dataset_sha256=dataset_sha256, commit=find_commit(), python=platform.python_version(),
        platform=platform.platform(), libraries={name: version(name) for name in LIBRARIES},
        cores=len(os.sched_getaffinity(0)),
        peak_memory_mb=round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1),
    )  # fmt: skip


def hash_files(paths: Sequence[str]) -> str:
    """sha256 over the bytes of the files, one behind the other."""
    found = hashlib.sha256()
    for path in paths:
        with Path(path).open("rb") as file:
            while block := file.read(1 << 20):
                found.update(block)
    return found.hexdigest()


def find_commit() -> str | None:
    """The git commit of the code that runs, ``DIRTY`` behind it when files differ; None for an installed release."""
    root = Path(appliance.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    try:
        head = _git(root, "rev-parse", "HEAD")
        return f"{head}{DIRTY}" if _git(root, "status", "--porcelain", "--untracked-files=no") else head
    except (OSError, subprocess.SubprocessError):
        return None


@cache
def installed_hash() -> str:
    """sha256 over ``name==version`` of every installed distribution, sorted: two equal ones trained with equal code."""
    read = (dist.metadata for dist in distributions())  # parsed anew at each look
    names = sorted({f"{about['Name'].lower()}=={about['Version']}" for about in read if about["Name"]})
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=True
    )  # fmt: skip
    return done.stdout.strip()
