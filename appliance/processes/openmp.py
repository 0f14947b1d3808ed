"""How LightGBM's threads wait for each other, in every process that scores or trains."""

from __future__ import annotations

from collections.abc import Mapping

OPENMP: Mapping[str, str] = {"GOMP_SPINCOUNT": "1000"}
"""The environment in which LightGBM's library is to be loaded; what is set already wins.

A thread that waits for its like looks so often before it sleeps. By its own choice, 300,000, it holds a core for a
millisecond that the answer of another request needs, or, in a training beside other programs, the very thread that it
waits for: on two cores that others use as well, ten rounds on 1,000 columns took 11.4 s, and 2.6 s so.
"""
