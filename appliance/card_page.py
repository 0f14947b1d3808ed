"""A model card as one HTML file: no script, no other file, no other host; readable in light and dark and on paper."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from html import escape

from appliance.card_figures import draw_figures
from appliance.figures import figure
from appliance.model_card import ModelCard
from appliance.model_evaluation import Evaluation, Fairness, GroupErrors, Mean, Share

_STYLE = """
:root{color-scheme:light dark}body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:0}h2{font-size:1.1rem;margin-top:2rem;border-bottom:1px solid #8886}
table{border-collapse:collapse;margin:.5rem 0}th,td{padding:.2rem .8rem .2rem 0;text-align:left;
border-bottom:1px solid #8883;vertical-align:top}td.n{text-align:right;font-variant-numeric:tabular-nums}
.figures{display:flex;flex-wrap:wrap;gap:1rem}.figures svg{background:#fff;border:1px solid #8883;border-radius:4px;
box-sizing:border-box;max-width:100%;height:auto}.wide{overflow-x:auto}.facts td,li,code{overflow-wrap:anywhere}
pre{background:#8881;padding:.7rem;overflow:auto}.note{opacity:.75}
@media print{:root{color-scheme:light}body{margin:0;max-width:none}pre{white-space:pre-wrap;overflow-wrap:anywhere}
h2{break-after:avoid}tr,.figures svg{break-inside:avoid}}
""".strip()


def render_card(card: ModelCard, *, api_url: str, example: dict[str, object] | None = None) -> str:
    """The card as an HTML document.

    Args:
        card: What the training did and found.
        api_url: Of the inference API that is called, without a slash at the end.
        example: A row that the model takes, for the call that is shown.
    """
    title = f"{card.model}, version {card.version}"
    body = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="note">{escape(card.task)} of <b>{escape(card.target)}</b>, trained {escape(card.created_at)}</p>',
        _about(card), _metrics(card), _evaluation(card), _data(card), _call(card, example, api_url), _record(card),
    ]  # fmt: skip
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head>'
        f"<body>{''.join(body)}</body></html>\n"
    )


def _about(card: ModelCard) -> str:
    rows = [
        ("Purpose", card.purpose or "not stated: declare purpose in the model's TOML"),
        ("Owner", card.owner or "not stated: declare owner in the model's TOML"),
        ("Gate", " ".join(card.gate.reasons)),
    ]
    calibrated = "calibrated" if card.calibrated else "not calibrated"
    if card.task == "multiclass":
        rows.append(("Answers", f"the likeliest class, {calibrated}"))
    if card.task == "binary":
        rows.append(("Answers", f"the positive class from a probability of {card.threshold:.4g} on, {calibrated}"))
    if card.evaluation is not None and card.evaluation.coverage is not None:
        rows.append(("Interval", f"holds the truth of {_share(card.evaluation.coverage)} of the held-out rows"))
    return _facts(rows)


def _metrics(card: ModelCard) -> str:
    folds = card.cross_validation
    head = ["metric", "holdout", "dummy", "champion", *(["folds"] if folds else [])]
    rows = [
        [
            name, _number(value), _number(card.baseline.get(name)), _number((card.champion or {}).get(name)),
            *([_spread(folds.mean.get(name), folds.spread.get(name))] if folds else []),
        ]
        for name, value in card.metrics.items()
    ]  # fmt: skip
    return f"<h2>How good it is</h2><p>{escape(_capital(card.split))}.</p>{_table(head, rows)}"


def _evaluation(card: ModelCard) -> str:
    found = card.evaluation
    if found is None:
        return ""
    figures = "".join(draw_figures(found, card.classes).values())
    parts = [f'<div class="figures">{figures}</div>']
    if found.classes:
        several = any(one.auc is not None for one in found.classes)
        rows = [[one.name, str(one.rows), _number(one.precision), _number(one.recall), _number(one.f1),
                 *([_number(one.auc)] if several else [])]
                for one in found.classes]  # fmt: skip
        parts.append(_table(["class", "rows", "precision", "recall", "F1", *(["AUC"] if several else [])], rows))
    return "".join(parts) + _limits(card, found) + _fairness(found)


def _limits(card: ModelCard, found: Evaluation) -> str:
    parts = ["<h2>Limits</h2>"]
    if found.worst:
        rows = [[one.column, one.value, str(one.rows), _number(one.loss), _times(one.ratio)] for one in found.worst]
        parts.append("<p>Rows for which it is worse than for all others, beyond chance:</p>")
        parts.append(_table(["column", "value", "rows", "loss", "the others'"], rows))
    else:
        parts.append("<p>No slice of the holdout by one column is worse than the others beyond chance.</p>")
    warnings = [f"{one.column}: {one.message}" if one.column else one.message for one in card.warnings]
    return "".join(parts) + _list(warnings)


def _times(ratio: float | None) -> str:
    return "these have none" if ratio is None else f"{ratio:.2f} x"


def _fairness(found: Evaluation) -> str:
    if found.group_errors:
        return "<h2>Fairness</h2>" + "".join(_errors(one) for one in found.group_errors)
    if not found.fairness:
        return "<h2>Fairness</h2>" + _list(found.notes)
    return "<h2>Fairness</h2>" + "".join(_groups(one) for one in found.fairness)


def _groups(found: Fairness) -> str:
    rows = [
        [
            group.name + ("" if group.judged else " (too few to compare)"), str(group.rows), _share(group.selected),
            _share(group.true_positive), _share(group.false_positive),
        ]
        for group in found.groups
    ]  # fmt: skip
    head = [found.column, "rows", "given the positive class", "true positive rate", "false positive rate"]
    return f"<p>{escape(found.sentence)}. In brackets: 95 % Wilson intervals.</p>{_table(head, rows)}"


def _errors(found: GroupErrors) -> str:
    rows = [
        [group.name + ("" if group.judged else " (too few to compare)"), str(group.rows), _mean(group.mae),
         _mean(group.bias)]
        for group in found.groups
    ]  # fmt: skip
    head = [found.column, "rows", "mean absolute error", "bias"]
    return f"<p>{escape(found.sentence)}. In brackets: 95 % intervals.</p>{_table(head, rows)}"


def _mean(found: Mean) -> str:
    if found.low is None or found.high is None:
        return _number(found.value)
    return f"{_number(found.value)} ({_number(found.low)} to {_number(found.high)})"


def _data(card: ModelCard) -> str:
    rows = [
        ("Dataset", f"{card.dataset}, version {card.dataset_version}"),
        ("Rows", f"{card.rows} with a label: {card.rows_train} trained, {card.rows_holdout} held out"),
        ("Columns", ", ".join(card.columns)),
    ]
    return f"<h2>Data</h2>{_facts(rows)}{_list(card.decisions)}"


def _call(card: ModelCard, example: dict[str, object] | None, api_url: str) -> str:
    if example is None:
        return ""
    row = json.dumps({"rows": [example]}, ensure_ascii=False)
    quoted = row.replace("'", "'\\''")
    call = f"curl -H 'Authorization: Bearer KEY' -d '{quoted}' \\\n  {api_url}/models/{card.model}/predict"
    return f"<h2>How to call it</h2><pre>{escape(call)}</pre>"


def _record(card: ModelCard) -> str:
    rows = [
        ("Rounds", f"{card.iterations}, in {card.seconds:.1f} s"), ("Seed", str(card.seed)),
        ("MLflow run", card.run_id), ("Release", card.code_version), ("Installed libraries", card.lock_hash),
    ]  # fmt: skip
    if card.record is not None:
        rows += [
            ("Commit", card.record.commit or "an installed release"),
            ("Dataset's sha256", card.record.dataset_sha256),
            ("Host", f"{card.record.platform}, Python {card.record.python}, {card.record.cores} cores"),
            ("Peak memory", f"{card.record.peak_memory_mb:.0f} MB"),
        ]
    parameters = ", ".join(f"{name} = {value}" for name, value in card.params.items())
    again = f"appliance reproduce {card.model} --version {card.version}"
    return f"<h2>Record</h2>{_facts([*rows, ('Parameters', parameters)])}<p>Again: <code>{escape(again)}</code></p>"


def _facts(rows: Iterable[tuple[str, str]]) -> str:
    lines = "".join(f"<tr><th>{escape(a)}</th><td>{escape(b)}</td></tr>" for a, b in rows)
    return f'<table class="facts">{lines}</table>'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{lines}</table></div>'


def _cell(said: str) -> str:
    figure_like = said.removeprefix("-")[:1].isdigit()
    return f"<td{' class=n' if figure_like else ''}>{escape(said)}</td>"


def _list(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(one)}</li>" for one in sentences) + "</ul>" if sentences else ""


def _number(value: float | None) -> str:
    return "-" if value is None else figure(value)


def _spread(mean: float | None, spread: float | None) -> str:
    return "-" if mean is None or spread is None else f"{figure(mean)} ± {figure(spread, digits=2)}"


def _share(share: Share) -> str:
    if share.value is None or share.low is None or share.high is None:
        return "-"
    return f"{share.value:.1%} ({share.low:.1%} to {share.high:.1%})"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
