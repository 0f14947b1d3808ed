"""Records runs and registers versions in MLflow's SQLite store; the only door to mlflow."""
