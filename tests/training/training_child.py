"""One training job in a process of its own, for tests that kill it: ``training_child.py STATE MODEL JOB``."""

from __future__ import annotations

import sys
from pathlib import Path

from appliance.settings import Settings
from appliance.training.job import TrainingOrder, run_training
from tests.training.rows import Remembered


def main() -> None:
    settings = Settings(state=Path(sys.argv[1]))
    run_training(settings, TrainingOrder(model=sys.argv[2], who="test", job_id=sys.argv[3]), Remembered())


if __name__ == "__main__":
    main()
