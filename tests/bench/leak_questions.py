"""Which columns of real data sets are asked about as leaks, with nothing excluded.

    python -m tests.bench.leak_questions DATA

DATA is that of ``tests.bench.reference_scores``. The ingest looks at every column, a training at those that it takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from appliance.leak_suspects import find_suspects
from appliance.training.prepare import prepare
from tests.bench.reference_scores import CASES, REGRESSION
from tests.training.rows import spec


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    data: Path = parser.parse_args().data
    print("| data set | rows | columns | target | the ingest asks about | a training asks about |")
    print("|---|---|---|---|---|---|")
    for case in CASES:
        if case.params:
            continue  # the same rows once more
        frame = case.read(data)
        at_ingest = [
            f"{one.column} ({one.sign} {one.score:.2f})" for one in find_suspects(frame.lazy(), case.target, len(frame))
        ]
        wanted = spec(case.target, task=REGRESSION if case.metric == "rmse" else None)
        warned = prepare(wanted, frame).warnings
        by_training = [warning.column or "" for warning in warned if warning.code in {"leak", "leak_suspect"}]
        told = [", ".join(found) or "none" for found in (at_ingest, by_training)]
        facts = [case.name, f"{len(frame)}", f"{len(frame.columns)}", case.target]
        print(f"| {' | '.join([*facts, *told])} |", flush=True)


if __name__ == "__main__":
    main()
