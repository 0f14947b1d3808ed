"""Says when and in which order: Prefect flows and the runner."""
