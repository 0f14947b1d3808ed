"""demo: the bike-sharing demo on the running appliance."""

from __future__ import annotations

from rich.console import Console

from appliance.cli.house import open_house
from appliance.demo.demo import MODEL, demo_key_path, run_demo
from appliance.demo.report import ConsoleReport


def demo() -> None:
    """Train on a year of bike rentals, replay the next as live traffic, watch it drift, retrain: real data, end to end.

    A demo that was cut off goes on where it stopped; a second one does nothing.
    """
    house = open_house()
    outcome = run_demo(house, ConsoleReport(Console(highlight=False)))
    if outcome.already_done:
        print(f"the demo was run before; the model {MODEL} is there")
    else:
        print(f"the demo took {outcome.seconds:.0f} s")
    print(f"its API key lies in {demo_key_path(house.settings.layout).absolute()} (0600); a prediction:")
    print(outcome.curl)
