"""Knows model, version, prediction, window, drift, quality, alert; trains, serves, monitors, decides."""

__version__ = "0.1.0"
