"""The same question to a model in every dialect of the inference API, as a program in three languages.

Pure text: a row and an address in, something to paste out. Only what comes with the language is used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from appliance.schema import Column, FeatureSchema, Kind
from appliance.trial import Value
from ui.texts import _

DIALECTS = {
    "native": _("Native"), "v2": "Open Inference V2", "v1": "TensorFlow Serving V1", "invocations": "MLflow, SageMaker",
}  # fmt: skip
BATCH = "batch"
LANGUAGES = {"curl": "curl", "python": "Python", "javascript": "JavaScript", BATCH: _("Batch")}
ROWS_A_REQUEST = 500
"""Of the program that asks for a whole file."""
NULL_WORDS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None", "?")
"""What stands for a number that is missing, as in files that the appliance reads."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is asked of whom.

    Attributes:
        api_url: Of the inference API, without a slash at the end.
        row: A value a column of the schema, None where it is missing.
        key: An API key; None: the program reads it from the environment variable ``KEY``.
    """

    api_url: str
    model: str
    schema: FeatureSchema
    row: Mapping[str, Value]
    key: str | None = None


def program(question: Question, dialect: str, language: str) -> str:
    """The program; unknown names fall back to the native dialect and to curl."""
    if language == BATCH:
        return _batch(question)
    path, body = _BODIES.get(dialect, _native)(question)
    headers = {"Content-Type": "application/json"}
    if dialect == "invocations":
        headers["X-Amzn-SageMaker-Target-Model"] = question.model
    return _WRITERS.get(language, _curl)(question.api_url + path, headers, body, question.key)


def _native(question: Question) -> tuple[str, object]:
    return f"/models/{question.model}/predict", {"rows": [dict(question.row)]}


def _v2(question: Question) -> tuple[str, object]:
    inputs = [_tensor(column, question.row.get(column.name)) for column in question.schema.columns]
    return f"/v2/models/{question.model}/infer", {"inputs": inputs}


def _tensor(column: Column, value: Value) -> dict[str, object]:
    tensor: dict[str, object] = {"name": column.name, "shape": [1], "datatype": "FP64", "data": [value]}
    if isinstance(value, bool):
        tensor["datatype"] = "BOOL"
    elif column.kind in {Kind.CATEGORY, Kind.DATETIME}:
        tensor |= {"datatype": "BYTES", "parameters": {"content_type": "str"}}
        tensor["data"] = [value if value is None else str(value)]  # a category may be a whole number in JSON
    return tensor


def _v1(question: Question) -> tuple[str, object]:
    return f"/v1/models/{question.model}:predict", {"instances": [dict(question.row)]}


def _invocations(question: Question) -> tuple[str, object]:
    return "/invocations", {"dataframe_records": [dict(question.row)]}


def _curl(url: str, headers: Mapping[str, str], body: object, key: str | None) -> str:
    lines = [f"curl -s {_shell(url)}", f'  -H "Authorization: Bearer {key or "$KEY"}"']
    lines += [f'  -H "{name}: {value}"' for name, value in headers.items()]
    lines.append("  -d " + _shell(json.dumps(body, ensure_ascii=False)))
    return " \\\n".join(lines)


def _shell(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _python(url: str, headers: Mapping[str, str], body: object, key: str | None) -> str:
    bearer = repr(f"Bearer {key}") if key else '"Bearer " + os.environ["KEY"]'
    return "\n".join([
        "import json", *(() if key else ("import os",)), "import urllib.request", "",
        f"body = {body!r}",
        "request = urllib.request.Request(", f"    {url!r},", "    data=json.dumps(body).encode(),",
        "    headers={", f'        "Authorization": {bearer},',
        *(f"        {name!r}: {value!r}," for name, value in headers.items()), "    },", ")",
        "with urllib.request.urlopen(request) as response:", "    print(json.load(response))",
    ])  # fmt: skip


def _javascript(url: str, headers: Mapping[str, str], body: object, key: str | None) -> str:
    bearer = json.dumps(f"Bearer {key}") if key else "`Bearer ${process.env.KEY}`"
    return "\n".join([
        f"const body = {json.dumps(body, ensure_ascii=False)};",
        f"const response = await fetch({json.dumps(url)}, {{", '  method: "POST",', "  headers: {",
        f"    Authorization: {bearer},",
        *(f"    {json.dumps(name)}: {json.dumps(value)}," for name, value in headers.items()), "  },",
        "  body: JSON.stringify(body),", "});", "console.log(JSON.stringify(await response.json()));",
    ])  # fmt: skip


def _batch(question: Question) -> str:
    """Python that asks the native dialect for the rows of a CSV file, so many at a time; each counts as traffic."""
    bearer = repr(f"Bearer {question.key}") if question.key else '"Bearer " + os.environ["KEY"]'
    url = f"{question.api_url}/models/{question.model}/predict"
    columns = question.schema.columns
    texts = [one.name for one in columns if one.kind in {Kind.CATEGORY, Kind.DATETIME}]
    return "\n".join([
        "import csv", "import itertools", "import json", *(() if question.key else ("import os",)),
        "import urllib.error", "import urllib.request", "",
        f"columns = {[one.name for one in columns]!r}", f"texts = {texts!r}", f"missing = {NULL_WORDS!r}", "", "",
        "def value_of(name, text):",
        "    if name in texts:", "        return text or None",
        "    if text.strip() in missing:", "        return None",
        "    try:", "        return json.loads(text.lower())",
        "    except ValueError:", "        return float(text)", "", "",
        "def ask(rows):",
        '    body = {"rows": [{name: value_of(name, row[name]) for name in columns} for row in rows]}',
        "    request = urllib.request.Request(", f"        {url!r},", "        data=json.dumps(body).encode(),",
        f'        headers={{"Authorization": {bearer}, "Content-Type": "application/json"}},', "    )",
        "    try:",
        "        with urllib.request.urlopen(request) as response:",
        '            return json.load(response)["predictions"]',
        "    except urllib.error.HTTPError as refusal:", "        raise SystemExit(refusal.read().decode())", "", "",
        'source = open("rows.csv", newline="", encoding="utf-8-sig")',
        'target = open("predictions.csv", "w", newline="", encoding="utf-8")',
        "with source, target:",
        "    reader, writer, done = csv.DictReader(source), None, 0",
        f"    while rows := list(itertools.islice(reader, {ROWS_A_REQUEST})):",
        "        if writer is None:",
        '            writer = csv.DictWriter(target, [*reader.fieldnames, "prediction"])',
        "            writer.writeheader()",
        "        for row, found in zip(rows, ask(rows)):",
        '            writer.writerow(row | {"prediction": found.get("label", found.get("value"))})',
        "        done += len(rows)", '    print(json.dumps({"predictions": done}))',
    ])  # fmt: skip


def score_by_job(control_url: str, model: str) -> str:
    """Curl that has a file scored by a job of the appliance and fetches the result; ``KEY`` has the scope admin."""
    key = '-H "Authorization: Bearer $KEY"'
    api = f"{control_url}/api"
    return "\n".join([
        f"UPLOAD=$(curl -sf '{api}/uploads?name=rows.csv' {key} \\",
        "  --data-binary @rows.csv | grep -o 'upload-[0-9a-f]*' | head -1)",
        f"JOB=$(curl -sf '{api}/models/{model}/predictions' {key} \\",
        "  -H 'Content-Type: application/json' -d '{\"upload\": \"'$UPLOAD'\"}' | grep -oE '[0-9a-f-]{36}')",
        f'curl -sf --retry 1000 --retry-delay 2 -o predictions.csv "{api}/jobs/$JOB/result" \\', f"  {key}",
    ])  # fmt: skip


_BODIES: dict[str, Callable[[Question], tuple[str, object]]] = {
    "native": _native, "v2": _v2, "v1": _v1, "invocations": _invocations,
}  # fmt: skip
_WRITERS: dict[str, Callable[[str, Mapping[str, str], object, str | None], str]] = {
    "curl": _curl, "python": _python, "javascript": _javascript,
}  # fmt: skip
