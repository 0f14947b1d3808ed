"""Remembers: datasets, the event log, the state database, model bundles. Knows no HTTP and no models."""
