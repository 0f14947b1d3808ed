"""``/metrics``: the counts of all workers in Prometheus's text format."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from appliance.api.inference.exchange import Answer, Call, new_request_id
from appliance.serving.capture import Capture
from appliance.serving.counts import BOUNDS_S, Counts, Tally
from appliance.serving.router import Router
from appliance.serving.shadow import WAITING

CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"

_Totals = dict[tuple[str, int], Tally]
_Sample = tuple[str, dict[str, object], float]


class Exposition:
    """Adds up the workers' counts and writes them down."""

    def __init__(self, router: Router, capture: Capture, counts: Counts, *, workers: int, version: str) -> None:
        self._router = router
        self._capture = capture
        self._counts = counts
        self._workers = workers
        self._version = version

    def scrape(self, call: Call) -> Answer:
        """``GET /metrics``."""
        totals = self._counts.totals()
        syncs = sum(tally.syncs for tally in totals.values())
        off = any(tally.off for tally in totals.values())
        lines = [*self._requests(totals), *self._saturation(totals), *self._state(capture_off=off, syncs=syncs)]
        return Answer(
            body=("\n".join(lines) + "\n").encode(), content_type=CONTENT_TYPE,
            request_id=call.given_id or new_request_id(call.at_us),
        )  # fmt: skip

    def _requests(self, totals: _Totals) -> Iterator[str]:
        yield from _family(
            "appliance_requests_total", "counter", "Requests by the answer's HTTP status; model is empty when unknown.",
            (
                ("", {**_labels(key), "status": status}, count)
                for key, tally in totals.items()
                for status, count in tally.statuses
            ),
        )  # fmt: skip
        known = {key: tally for key, tally in totals.items() if key[0]}
        yield from _family(
            "appliance_predictions_total", "counter", "Rows that were scored and answered.",
            (("", _labels(key), tally.rows) for key, tally in known.items()),
        )  # fmt: skip
        yield from _family(
            "appliance_unseen_categories_total", "counter", "Cells with a category that training never saw.",
            (("", _labels(key), tally.unseen) for key, tally in known.items()),
        )  # fmt: skip
        yield from _family(
            "appliance_predictions_unrecorded_total", "counter",
            "Predictions answered with X-Capture: off, because the event log could not be written.",
            (("", _labels(key), tally.lost) for key, tally in known.items()),
        )  # fmt: skip
        yield from _family(
            "appliance_shadow_requests_total", "counter", "Requests for a shadow: scored, dropped under load, failed.",
            (
                ("", {**_labels(key), "outcome": outcome}, count)
                for key, tally in known.items()
                for outcome, count in zip(("scored", "dropped", "failed"), tally.shadow, strict=True)
            ),
        )  # fmt: skip
        yield from _family(
            "appliance_request_duration_seconds", "histogram", "From a prediction request's arrival to its answer.",
            (sample for key, tally in known.items() for sample in _histogram(_labels(key), tally)),
        )  # fmt: skip

    def _saturation(self, totals: _Totals) -> Iterator[str]:
        """What is being worked on and what waits, beside how much of it there may be."""
        yield from _family(
            "appliance_requests_in_flight", "gauge",
            "Requests that are being read, scored on a thread or waited for the disk with, in all workers.",
            [("", {}, sum(tally.in_flight for tally in totals.values()))],
        )  # fmt: skip
        yield from _family(
            "appliance_requests_in_flight_limit", "gauge", "As many may be at once; beyond it, callers are put off.",
            [("", {}, sum(tally.room for tally in totals.values()))],
        )  # fmt: skip
        yield from _family(
            "appliance_shadow_queue_depth", "gauge", "Requests that wait for a shadow.",
            (("", _labels(key), tally.queued) for key, tally in totals.items() if key[0]),
        )  # fmt: skip
        yield from _family(
            "appliance_shadow_queue_limit", "gauge", "As many may wait, of all shadows; further ones are dropped.",
            [("", {}, float(WAITING * self._workers))],
        )  # fmt: skip

    def _state(self, *, capture_off: bool, syncs: float) -> Iterator[str]:
        routes = self._router.current.routes.values()
        yield from _family(
            "appliance_model_serving", "gauge", "1 for each version that serves, by its role.",
            (
                ("", {"model": model.name, "version": model.version, "role": role}, 1.0)
                for route in routes
                for role, model in route.serving.items()
            ),
        )  # fmt: skip
        yield from _family(
            "appliance_bundle_refused", "gauge", "1 when the version deployed in a role was refused.",
            (
                ("", {"model": route.name, "version": version, "role": role}, float(role in route.refusals))
                for route in routes
                for role, version in route.deployed.items()
            ),
        )  # fmt: skip
        yield from _family(
            "appliance_event_log_writable", "gauge", "0 when predictions of a worker cannot be recorded.",
            [("", {}, float(not (capture_off or self._capture.problem)))],
        )  # fmt: skip
        yield from _family(
            "appliance_event_log_syncs_total", "counter", "Times the disk was waited for (capture_durability = sync).",
            [("", {}, syncs)],
        )  # fmt: skip
        yield from _family("appliance_workers", "gauge", "Worker processes.", [("", {}, float(self._workers))])
        yield from _family(
            "appliance_build_info", "gauge", "1, with the release.", [("", {"release": self._version}, 1.0)]
        )


def _histogram(labels: dict[str, object], tally: Tally) -> Iterator[_Sample]:
    count = 0.0
    for bound, found in zip((*map(str, BOUNDS_S), "+Inf"), tally.buckets, strict=True):
        count += found
        yield "_bucket", {**labels, "le": bound}, count
    yield "_sum", labels, tally.seconds
    yield "_count", labels, count


def _family(name: str, kind: str, explanation: str, samples: Iterable[_Sample]) -> Iterator[str]:
    yield f"# HELP {name} {explanation}"
    yield f"# TYPE {name} {kind}"
    for suffix, labels, value in samples:
        text = ",".join(f'{label}="{_escape(str(content))}"' for label, content in labels.items())
        yield f"{name}{suffix}{{{text}}} {value!r}" if text else f"{name}{suffix} {value!r}"


def _labels(key: tuple[str, int]) -> dict[str, object]:
    model, version = key
    return {"model": model, "version": version or ""}


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
