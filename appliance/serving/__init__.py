"""Scores rows: LightGBM's C API, loaded bundles, the router. Imports nothing heavy."""
