"""The model card: what the models are for, how they were made and measured, and what must not be concluded.

Comes in: the result of a bench. Goes out: Markdown in the order of Mitchell et al. 2019.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from mortcond.measure.answer import cautions
from mortcond.measure.sections import limits_of
from mortcond.measure.tables import difference, latency, number, verdict, with_interval

Record = dict[str, Any]
INTENDED_USE = (
    "Research on small models that estimate the risk of death in hospital from the first 48 hours of an intensive-care "
    "stay of an adult, and on what making them smaller costs. It is not a medical device and must not decide about the "
    "care of a patient."
)


def model_card(result: Record) -> str:
    """Return the card as Markdown."""
    return "\n".join(_lines(result)) + "\n"


def _lines(result: Record) -> Iterator[str]:
    yield f"# Model card\n\n{result['answer']['sentence']}\n\n## Models\n"
    yield from _table(
        ("model", "architecture", "weights", "parameters", "bytes", "made by"),
        ([m["label"], m["arch"], m["quantization"], number(m["parameters"]), number(m["size_bytes"]), _made(m)]
         for m in result["models"]),
    )  # fmt: skip
    yield f"\n## Intended use\n\n{INTENDED_USE}\n\n## Data\n"
    yield from (f"- {line}" for line in _data(result["dataset"]))
    yield "\n## Measures\n\nAll on the same stays; intervals are 95 % bootstrap intervals by patient.\n"
    batch = str(result["settings"]["batches"][0])
    yield from _table(
        ("model", "AUROC", "average precision", "Brier", "calibration slope", "difference to parent", "verdict", "µs"),
        (_measures(m, batch) for m in result["models"]),
    )
    yield "\n## Subgroups\n"
    for record in _of_interest(result):
        yield f"\n{record['label']}:\n"
        yield from _table(("subgroup", "stays", "deaths", "AUROC"), _subgroups(record))
    yield "\n## Limits\n"
    yield from (f"- {line}" for line in (*cautions(result), *limits_of(result)))
    machine = result["machine"]
    yield f"\n## Measured on\n\n{machine['cpu']}, {machine['memory_gb']} GB, {machine['os']}; {result['measured_at']}."


def _made(record: Record) -> str:
    return " → ".join(step["command"] for step in record["lineage"]) or "unknown"


def _data(dataset: Record) -> Iterator[str]:
    yield f"source: {dataset['source']}"
    yield f"{dataset['n']:,} stays of the {dataset['split']} split, {dataset['events']:,} deaths"
    yield f"prevalence {dataset['prevalence']:.3f}; in training {number(dataset['training_prevalence'], '.3f')}"
    yield f"SHA-256 of the data set: {dataset['sha256']}"


def _measures(record: Record, batch: str) -> list[str]:
    auroc, compared = record["auroc"], record["delta_auroc"]
    cells = [record["label"], with_interval(auroc["value"], auroc["ci95"])]
    cells += [with_interval(record["auprc"], record["auprc_ci95"]), number(record["brier"], ".3f")]
    cells += [number(record["calibration"]["slope"], ".2f"), difference(compared), verdict(compared)]
    return [*cells, latency(record, batch)]


def _of_interest(result: Record) -> list[Record]:
    named = [record for record in result["models"] if record["label"] == result["answer"]["model"]]
    return named or result["models"][:1]


def _subgroups(record: Record) -> Iterator[list[str]]:
    for row in record["subgroups"]:
        value = with_interval(row["auroc"], row["ci95"]) + (" (few)" if row["too_few"] else "")
        yield [f"{row['by']}: {row['name']}", number(row["stays"]), number(row["deaths"]), value]


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(headings)} |"
    yield f"|{' --- |' * len(headings)}"
    for row in rows:
        yield f"| {' | '.join(str(cell).replace('|', '/') for cell in row)} |"
