"""What an answer says of each row, in the native dialect's JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from appliance.schema import FeatureSchema, Task
from appliance.serving.scoring import Scored, by_row

_ENCODE = msgspec.json.Encoder().encode
_NO_FLAGS = b"[]"


def predictions_of(scored: Scored) -> object:
    """The predictions as the encoder takes them: objects when there are few, text that is written already when many."""
    if scored.rows == 1 or scored.reasons:
        return describe_predictions(scored)
    return msgspec.Raw(write_predictions(scored))


def write_predictions(scored: Scored) -> bytes:
    """The predictions as a JSON list; without reasons.

    Many rows are written without an object a row, which costs a tenth: each column of numbers is encoded at once, and
    its texts are dealt out between the texts that all rows share. The bytes are those of ``describe_predictions``,
    encoded.
    """
    flags = [_NO_FLAGS] * scored.rows
    for index, found in scored.flags.items():
        flags[index] = _ENCODE(found)
    closing = b"}" if scored.model.schema.task is Task.MULTICLASS else b"" if scored.ends is None else b"]"
    columns = [
        (b'},{"id":"' + scored.token.encode() + b".", _numbers(list(range(scored.rows)))),
        *_answer_columns(scored),
        (closing + b',"flags":', flags),
    ]
    parts: list[bytes] = [b""] * (2 * len(columns) * scored.rows)
    for at, (before, texts) in enumerate(columns):
        parts[2 * at :: 2 * len(columns)] = [before] * scored.rows
        parts[2 * at + 1 :: 2 * len(columns)] = texts
    return b"[" + b"".join(parts).removeprefix(b"},") + b"}]"


def _answer_columns(scored: Scored) -> list[tuple[bytes, list[bytes]]]:
    """What stands before each text of a column, and the texts, one a row."""
    schema = scored.model.schema
    if schema.task is Task.REGRESSION:
        values = (b'","value":', _numbers(scored.values))
        if scored.ends is None:
            return [values]
        ends = _numbers(scored.ends)
        return [values, (b',"interval":[', ends[0::2]), (b",", ends[1::2])]
    names = [_ENCODE(name) for name in schema.classes]
    labels = [names[at] for at in classes_of(scored)]
    shares = _object_columns(b',"probabilities":{', names, flat_probabilities(scored))
    if schema.task is Task.BINARY:
        return [(b'","label":', labels), *shares, (b'},"raw":', _numbers(scored.raw))]
    raw = _object_columns(b'},"raw":{', names, scored.raw)
    return [(b'","label":', labels), *shares, *raw]


def _object_columns(before: bytes, names: list[bytes], values: list[float]) -> list[tuple[bytes, list[bytes]]]:
    """The members of an object a row, from row-major values."""
    texts = _numbers(values)
    befores = [before, *[b","] * (len(names) - 1)]
    return [
        (start + name + b":", texts[at :: len(names)])
        for at, (start, name) in enumerate(zip(befores, names, strict=True))
    ]


def _numbers(values: Sequence[float]) -> list[bytes]:
    return _ENCODE(values)[1:-1].split(b",")


def classes_of(scored: Scored) -> list[int]:
    """The place of the class that each output stands for: the likeliest; of two, by the served threshold."""
    schema = scored.model.schema
    if schema.task is Task.BINARY:
        threshold = schema.threshold
        return [1 if value >= threshold else 0 for value in scored.values]
    return [output.index(max(output)) for output in scored.outputs]


def labels_of(scored: Scored) -> list[str]:
    """The class that each output stands for."""
    classes = scored.model.schema.classes
    return [classes[at] for at in classes_of(scored)]


def flat_probabilities(scored: Scored) -> list[float]:
    """Row-major ``rows * classes``, in the classes' order."""
    if scored.model.schema.task is not Task.BINARY:
        return scored.values
    found = [0.0] * (2 * scored.rows)
    found[0::2] = [1.0 - value for value in scored.values]
    found[1::2] = scored.values
    return found


def probabilities_of(scored: Scored) -> list[list[float]]:
    """One list a row, one probability a class in the classes' order."""
    return by_row(flat_probabilities(scored), scored.rows)


def describe_predictions(scored: Scored) -> list[dict[str, object]]:
    """The predictions of an answer, an object a row."""
    schema, token, flags = scored.model.schema, scored.token, scored.flags
    predictions: list[dict[str, object]]
    if scored.rows == 1 and schema.task is Task.BINARY and not scored.reasons:  # the most frequent; half the time
        (value,), (negative, positive) = scored.values, schema.classes
        return [
            {
                "id": f"{token}.0",
                "label": positive if value >= schema.threshold else negative,
                "probabilities": {negative: 1.0 - value, positive: value},
                "raw": scored.raw[0],
                "flags": flags.get(0, ()),
            }
        ]
    if schema.task is Task.REGRESSION:
        predictions = [
            {"id": f"{token}.{index}", "value": value, "flags": flags.get(index, ())}
            for index, value in enumerate(scored.values)
        ]
        if scored.ends is not None:
            predictions = [
                {"id": one["id"], "value": one["value"], "interval": interval, "flags": one["flags"]}
                for one, interval in zip(predictions, by_row(scored.ends, scored.rows), strict=True)
            ]
    else:
        predictions = [
            {
                "id": f"{token}.{index}",
                "label": label,
                "probabilities": dict(zip(schema.classes, shares, strict=True)),
                "raw": raw,
                "flags": flags.get(index, ()),
            }
            for index, (label, shares, raw) in enumerate(
                zip(labels_of(scored), probabilities_of(scored), _raw_of(schema, scored), strict=True)
            )
        ]
    for prediction, reasons in zip(predictions, scored.reasons, strict=False):
        prediction["reasons"] = reasons
    return predictions


def _raw_of(schema: FeatureSchema, scored: Scored) -> Sequence[float | dict[str, float]]:
    if schema.task is Task.BINARY:
        return scored.raw
    return [dict(zip(schema.classes, scores, strict=True)) for scores in by_row(scored.raw, scored.rows)]
