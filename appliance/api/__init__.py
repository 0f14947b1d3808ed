"""The two HTTP APIs; the only place that imports litestar."""
