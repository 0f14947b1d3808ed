"""What an answer says of each row, in the native dialect's JSON."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from appliance.schema import FeatureSchema, Task
from appliance.serving.scoring import Scored

_ENCODE = msgspec.json.Encoder().encode
_NO_FLAGS = b"[]"


def write_predictions(scored: Scored) -> bytes:
    """The predictions as a JSON list.

    Many rows are written without an object a row, which costs a tenth: the numbers of a column are encoded at once and
    put into one template. The bytes are those of ``describe_predictions``, encoded.
    """
    if len(scored.outputs) == 1 or scored.reasons:
        return _ENCODE(describe_predictions(scored))
    schema, outputs = scored.model.schema, scored.outputs
    flags = [_NO_FLAGS] * len(outputs)
    for index, found in scored.flags.items():
        flags[index] = _ENCODE(found)
    start = b'{"id":"' + scored.token.encode() + b'.%d",'
    if schema.task is Task.REGRESSION:
        template = start + b'"value":%b,"flags":%b}'
        cells = zip(range(len(outputs)), _numbers([output[0] for output in outputs]), flags, strict=True)
    else:
        names = [_ENCODE(name) for name in schema.classes]
        shares = b",".join(name.replace(b"%", b"%%") + b":%b" for name in names)
        template = start + b'"label":%b,"probabilities":{' + shares + b'},"flags":%b}'
        cells = zip(
            range(len(outputs)), (names[class_of(schema, output)] for output in outputs),
            *map(_numbers, zip(*(probabilities_of(schema, output) for output in outputs), strict=True)), flags,
            strict=True,
        )  # fmt: skip
    return b"[" + b",".join(map(template.__mod__, cells)) + b"]"


def _numbers(values: Sequence[float]) -> list[bytes]:
    return _ENCODE(values)[1:-1].split(b",")


def class_of(schema: FeatureSchema, output: list[float]) -> int:
    """The place of the class that an output stands for."""
    if schema.task is Task.BINARY:
        return int(output[0] >= schema.threshold)
    return output.index(max(output))


def label_of(schema: FeatureSchema, output: list[float]) -> str:
    """The class that an output stands for."""
    return schema.classes[class_of(schema, output)]


def probabilities_of(schema: FeatureSchema, output: list[float]) -> list[float]:
    """One probability a class, in the classes' order."""
    return [1.0 - output[0], output[0]] if schema.task is Task.BINARY else output


def describe_predictions(scored: Scored) -> list[dict[str, object]]:
    """The predictions of an answer, an object a row."""
    schema, token, flags = scored.model.schema, scored.token, scored.flags
    predictions: list[dict[str, object]]
    if schema.task is Task.REGRESSION:
        predictions = [
            {"id": f"{token}.{index}", "value": output[0], "flags": flags.get(index, ())}
            for index, output in enumerate(scored.outputs)
        ]
    else:
        predictions = [
            {
                "id": f"{token}.{index}",
                "label": label_of(schema, output),
                "probabilities": dict(zip(schema.classes, probabilities_of(schema, output), strict=True)),
                "flags": flags.get(index, ()),
            }
            for index, output in enumerate(scored.outputs)
        ]
    for prediction, reasons in zip(predictions, scored.reasons, strict=False):
        prediction["reasons"] = reasons
    return predictions
