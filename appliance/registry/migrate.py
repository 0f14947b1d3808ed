"""Brings an MLflow store, that nobody uses, to the installed MLflow's schema: ``python -m`` of this module, PATH."""

from __future__ import annotations

import os
import sys
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

from mlflow.store.db.utils import _upgrade_db, create_sqlalchemy_engine


def main() -> int:
    """Upgrade it; alembic's own words on failure."""
    engine = create_sqlalchemy_engine(f"sqlite:///{Path(sys.argv[1]).absolute()}")
    _upgrade_db(engine)
    engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main())
