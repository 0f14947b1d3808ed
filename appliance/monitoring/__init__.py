"""Watches: windows, the drift rule, latency, quality, alerts."""
