"""condense: the smallest model that is not inferior to a baseline, within what the user can afford.

Comes in: a baseline model and the data set it was trained on. Goes out: one `.tflite` file, and the folder condense/
with the record of every candidate, the trade-off plotted, and the trained networks, from which an interrupted search
goes on.

The choice looks at the validation split only: among the files within the limits, the smallest whose own paired 95 %
interval of the AUROC difference to the baseline lies above minus the margin. Among many files one lies there by chance,
so that this is no verdict: the test split is looked at once, for the one chosen, and only what it says is the answer.
"""

import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from mortcond import dataset as datasets
from mortcond import scores
from mortcond.commands.candidate_maker import CandidateMaker
from mortcond.commands.children import Parent, read_parent
from mortcond.condense import search
from mortcond.condense.search import Recipe
from mortcond.core.artifacts import atomic_file, refuse_existing, size_bytes
from mortcond.core.calls import takes
from mortcond.core.console import Bar
from mortcond.core.errors import InputError, LimitError
from mortcond.core.locks import claim
from mortcond.core.manifest import Manifest
from mortcond.core.scratch import scratch_folder
from mortcond.core.session import Session
from mortcond.core.workspace import choose_model
from mortcond.dataset import Split
from mortcond.deploy import check
from mortcond.deploy.directory import TFLITE
from mortcond.deploy.runtime import Predictor
from mortcond.measure.judge import Judge
from mortcond.measure.plots.search import write_tradeoff
from mortcond.measure.records import plain
from mortcond.measure.tables import number
from mortcond.measure.typography import rounded
from mortcond.options.condense import Condense

FOLDER = "condense"
COARSE = "too coarse"  # rounding changes the risks by more than quantize would let pass
Record = dict[str, Any]


@dataclass(frozen=True)
class Limits:
    """What the user can afford."""

    max_bytes: int | None
    max_latency_us: float | None
    margin: float

    def __str__(self) -> str:
        size = f"at most {self.max_bytes:,} bytes" if self.max_bytes is not None else ""
        speed = f"at most {self.max_latency_us:g} µs a stay" if self.max_latency_us is not None else ""
        loss = f"no more than {self.margin:g} of AUROC below the baseline"
        return ", ".join(part for part in (size, speed, loss) if part)


@takes(Condense)
def condense(session: Session, options: Condense) -> Record:
    """Search for the smallest model that is not inferior to the baseline.

    Returns
    -------
    `path`, `chosen` with its validation and test figures, `candidates`, `plots`.

    Raises
    ------
    LimitError
        Nothing qualifies on the validation split, or the test split does not confirm what does; the records and the
        nearest candidate are kept, and told.
    """
    limits = Limits(options.max_bytes, options.max_latency_us, options.max_auroc_drop)
    target = options.out or session.workspace / "condensed.tflite"
    refuse_existing(target, session.overwrite)
    path, manifest = choose_model(session, options.baseline, _is_uncondensed, "a trained model that is not condensed")
    parent = read_parent(session, path, manifest, options.dataset, splits=("train", "val"))
    settings = replace(parent.settings, epochs=options.epochs or parent.settings.epochs)
    _refuse_one_outcome(parent.data.val, parent)
    claim(session.workspace / FOLDER)
    maker = CandidateMaker(session, parent, session.workspace / FOLDER, settings)
    found = _searched(maker, options, limits)
    result = _result(found, limits)
    best = search.chosen(found.tried)
    if best is not None:
        result |= _deliver(target, best, found, session.seed)
        result["folds"] = _over_folds(session, parent, options, limits) if options.folds else None
    _write(maker.folder, result)
    _refuse_what_fails(result, found, options.accept_undecided)
    return result


def _refuse_one_outcome(val: Split, parent: Parent) -> None:
    """Raise InputError where the validation stays rank nothing: before the search, which takes long."""
    if not 0 < val.y.sum() < len(val.y):
        raise InputError(
            f"{parent.dataset} has {len(val.y):,} validation stays, {int(val.y.sum()):,} of them deaths: there is no "
            "AUROC to choose by.",
            "Use a data set with deaths and survivors in its val split.",
        )


def _searched(maker: CandidateMaker, options: Condense, limits: Limits) -> "Search":
    """Return the search with a baseline, when it is over or its time is up."""
    parent, session = maker.parent, maker.session
    judge = _judge(parent.data.val, parent, limits.margin, session.seed)
    found = Search(maker, judge, limits, search.recipes(parent.network.arch, options.arch), options.whole_curve)
    minutes = options.budget_minutes
    found.run(None if minutes is None else time.monotonic() + 60 * minutes)
    return found


def _over_folds(session: Session, parent: Parent, options: Condense, limits: Limits) -> Record:
    """Return what all stays say of the choosing: the search is repeated in every fold; see `condense_folds`."""
    from mortcond.commands.condense_folds import over_folds

    def hunt(own: Session, baseline: Parent, folder: Path) -> list[Record]:
        settings = replace(baseline.settings, epochs=options.epochs or baseline.settings.epochs)
        return _searched(CandidateMaker(own, baseline, folder, settings), options, limits).tried

    return over_folds(session, parent, options.folds, session.workspace / FOLDER, limits.margin, hunt)


def _judge(split: Split, parent: Parent, margin: float, seed: int) -> Judge:
    reference = Predictor(parent.path, trust_changed=True).predict(split.X)  # whether to was decided with the parent
    return Judge(np.asarray(split.y), split.subject_id, reference, parent.manifest.name, margin, seed)


@dataclass
class Search:
    """The search as it stands: what was tried, and what is left, from the smallest up."""

    maker: CandidateMaker
    judge: Judge
    limits: Limits
    recipes: list[Recipe]
    whole_curve: bool
    tried: list[Record] = field(default_factory=list)  # files within the limits, with their AUROC
    refused: list[Record] = field(default_factory=list)  # files that break a limit, or differ much from their network
    left: list[Record] = field(default_factory=list)  # files within the limits so far, not tried (yet)

    def run(self, deadline: float | None) -> None:
        """Try candidates until nothing smaller than the best is left, or time is up (then finish the current one)."""
        named = {recipe.name: recipe for recipe in self.recipes}
        console = self.maker.session.console
        with scratch_folder() as folder, console.chain("Search", len(named)) as (inner, bar):
            self.maker.session = replace(self.maker.session, console=inner)
            self._leave_out_too_large(folder, bar)
            order = search.smallest_first(self.left)
            bar.update(0, total=len(order))
            for name in order:
                if self._is_over() or (deadline is not None and time.monotonic() > deadline):
                    break
                bar.advance(0, note=name)
                self._try(named[name])
                bar.advance(1, note=self._standing())
                write_records(self.maker.folder, [*self.tried, *self.refused])

    def _leave_out_too_large(self, folder: Path, bar: Bar) -> None:
        """Find each file's size before any training, and leave out what is too large."""
        for recipe in self.recipes:
            bar.advance(1, note=f"sizes: {recipe.name}")
            for record in self.maker.files(recipe, self.maker.begin(recipe), folder):
                fits = search.within(record, self.limits.max_bytes, None)
                (self.left if fits else self.refused).append(record | ({} if fits else {"refused": "too large"}))

    def _try(self, recipe: Recipe) -> None:
        own = [record for record in self.left if record["network"] == recipe.name]
        self.left = [record for record in self.left if record["network"] != recipe.name]
        if self.limits.max_latency_us is not None:
            own = self._those_fast_enough(self.maker.time(own))
        if not own:
            return
        network, facts = self.maker.trained(recipe)
        modes = tuple(record["mode"] for record in own)
        known, held = self.maker.parent.data.train.X, self.maker.parent.data.val
        files = self.maker.files(recipe, network, self.maker.folder / "files", modes, known)
        expected = network.predict(held.X, np.float32)
        for record in self._those_fast_enough(self.maker.time(files)):  # the file may have grown a little
            risk = Predictor(Path(record["path"])).predict(held.X)
            rounding = check.differences(risk, expected, self.judge.died)
            told = {"training_seconds": facts["training_seconds"], "recipe": recipe.to_dict(), "rounding": rounding}
            if check.acceptable(rounding, check.TOLERANCE[record["mode"]]):
                self.tried.append(record | told | self.judge.see(record["name"], risk))
            else:
                self.refused.append(record | plain(told) | {"refused": COARSE})
        if self.judge.risks:  # with every file that is compared, each verdict takes a little more
            verdicts = self.judge.verdicts()
            self.tried = [record | verdicts[record["name"]] for record in self.tried]

    def _those_fast_enough(self, records: list[Record]) -> list[Record]:
        """Keep the files within the limits; the speed is that of this machine, now."""
        kept = []
        for record in records:
            fits = search.within(record, self.limits.max_bytes, self.limits.max_latency_us)
            (kept if fits else self.refused).append(record | ({} if fits else {"refused": "too large or too slow"}))
        return kept

    def _is_over(self) -> bool:
        return not self.whole_curve and not search.may_still_win(self.left, search.chosen(self.tried))

    def _standing(self) -> str:
        best = search.chosen(self.tried)
        return f"best so far {best['name']}, {best['bytes']:,} bytes" if best else "none is good enough so far"


def write_records(folder: Path, records: list[Record]) -> None:
    """Write a JSON line for each candidate."""
    with atomic_file(folder / "candidates.jsonl") as partial:
        partial.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def _result(found: Search, limits: Limits) -> Record:
    judge, parent = found.judge, found.maker.parent
    baseline = {"name": parent.manifest.name, "path": str(parent.path), "parameters": parent.network.parameters}
    baseline |= {"bytes": size_bytes(parent.path / TFLITE), "auroc": scores.auroc(judge.died, judge.reference)}
    on_front = search.front(found.tried)
    tried = [record | {"on_front": record["name"] in on_front} for record in found.tried]
    result = {"path": None, "folds": None, "folder": str(found.maker.folder), "baseline": baseline, "chosen": None}
    result |= {"limits": asdict(limits), "candidates": sorted(tried, key=lambda record: record["bytes"])}
    best = search.chosen(found.tried)
    untried = {record["network"] for record in found.left if search.may_still_win([record], best)}
    larger = {record["network"] for record in found.left} - untried
    result |= {"untried": sorted(untried), "larger": sorted(larger), "refused": len(found.refused)}
    result["coarse"] = [record["name"] for record in found.refused if record["refused"] == COARSE]
    result |= {"caution": judge.caution}
    result |= {
        "nearest": search.nearest(tried),
        "validation": {"stays": len(judge.died), "deaths": int(judge.died.sum())},
    }
    return plain(result)


def _deliver(target: Path, best: Record, found: Search, seed: int) -> Record:
    """Copy the chosen file to its name, and compare it once on the test split."""
    parent = found.maker.parent
    test = datasets.load(parent.dataset, splits=("test",)).test
    judge = _judge(test, parent, found.limits.margin, seed)
    confirmed = judge.see(best["name"], Predictor(Path(best["path"])).predict(test.X)) | {"stays": len(test)}
    confirmed |= judge.verdicts()[best["name"]]
    with atomic_file(target) as partial:
        shutil.copyfile(best["path"], partial)
    return {"path": str(target), "chosen": best | {"test": confirmed | {"deaths": int(test.y.sum())}}}


def _write(folder: Path, result: Record) -> None:
    """Write result.json and the plot of the trade-off."""
    result["plots"] = []
    if result["candidates"]:
        chosen, nearest = (result[answer] and result[answer]["name"] for answer in ("chosen", "nearest"))
        facts = {"baseline": result["baseline"], "chosen": chosen, "nearest": None if chosen else nearest}
        facts["stays"] = result["validation"]["stays"]
        facts |= {name: result["limits"][name] for name in ("margin", "max_bytes")}
        result["plots"] = [str(folder / name) for name in write_tradeoff(folder, result["candidates"], facts)]
    with atomic_file(folder / "result.json") as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


def _refuse_what_fails(result: Record, found: Search, accept_undecided: bool) -> None:
    """Raise LimitError where nothing qualifies, or where the test split does not confirm the choice."""
    if result["chosen"] is not None:
        _refuse_what_the_test_split_refutes(result)
        if result["folds"]:
            _refuse_what_the_folds_do_not_confirm(result, accept_undecided)
        else:
            _refuse_what_the_test_split_does_not_confirm(result, accept_undecided)
        return
    limits, nearest = str(found.limits), result["nearest"]
    if nearest is None:
        problem = f"No candidate could be shown to meet the limits ({limits})."
        too_large = [record["bytes"] for record in found.refused if record["name"] not in result["coarse"]]
        smallest = min(too_large, default=None)
        remedy = f"The smallest file would have {smallest:,} bytes." if smallest else "Search on, or for longer."
        raise LimitError(problem, result["caution"] or remedy, result, render)
    problem = f"No candidate meets the limits ({limits}). Nearest: {nearest['name']}, {describe(nearest)}."
    raise LimitError(problem, _what_would_help(nearest, result), result, render)


def _refuse_what_the_test_split_refutes(result: Record) -> None:
    """Whatever folds say of such choices: this very file was seen to be worse."""
    best = result["chosen"]
    if best["test"]["noninferior"] is False:
        problem = f"{best['name']} was chosen on the validation split, but the test split shows it inferior to the "
        problem += "baseline."
        raise LimitError(problem, f"{result['path']} is written, but not to be relied on.", result, render)


def _refuse_what_the_test_split_does_not_confirm(result: Record, accept_undecided: bool) -> None:
    best = result["chosen"]
    test = best["test"]
    if test["noninferior"] is None and not accept_undecided:
        problem = f"{best['name']} was chosen on the validation split, but {test['stays']:,} test stays "
        problem += f"({test['deaths']:,} deaths) cannot tell whether it is as good: {difference_in_words(test)}."
        needed = test["difference"]["stays_needed"]
        missing = f"About {rounded(needed):,} test stays could tell; " if needed else ""
        remedy = f"{missing}--folds lets all stays tell, --accept-undecided takes {result['path']} as it is."
        raise LimitError(problem, remedy[0].upper() + remedy[1:], result, render)


def _refuse_what_the_folds_do_not_confirm(result: Record, accept_undecided: bool) -> None:
    told = result["folds"]
    if told["noninferior"] or (told["noninferior"] is None and accept_undecided):
        return
    on = f"over {told['folds']} folds, {told['stays']:,} stays ({told['deaths']:,} deaths)"
    if told["noninferior"] is False:
        problem = f"What this search chooses is inferior to the baseline {on}: {difference_in_words(told)}."
        raise LimitError(problem, f"{result['path']} is written, but not to be relied on.", result, render)
    problem = f"It cannot be told {on}, whether what this search chooses is as good: {difference_in_words(told)}."
    needed = told["difference"]["stays_needed"]
    missing = f"About {rounded(needed):,} stays could tell; " if needed else ""
    raise LimitError(problem, f"{missing}--accept-undecided takes {result['path']} as it is.", result, render)


def _what_would_help(nearest: Record, result: Record) -> str:
    needed, stays = nearest["difference"].get("stays_needed"), result["validation"]["stays"]
    if result["untried"]:
        return f"{len(result['untried'])} candidates are left: run the same command again, or with a larger budget."
    kept = f"The nearest is kept in {nearest['path']}."
    if needed and needed > stays:
        told = f"About {rounded(needed):,} validation stays could tell"
        return f"{told}; or allow a larger --max-auroc-drop, or more bytes. {kept}"
    return f"Allow more bytes, more time, or a larger --max-auroc-drop. {kept}"


def describe(record: Record) -> str:
    """Return a file's size and its difference to the baseline in words."""
    return f"{record['bytes']:,} bytes, AUROC {difference_in_words(record)} to the baseline: {record['verdict']}"


def difference_in_words(record: Record) -> str:
    """Return the difference of AUROC to the baseline with its interval."""
    value, ends = record["difference"]["value"], record["difference"]["ci95"]
    return ("-" if value is None else f"{value:+.3f}") + (f" [{ends[0]:+.3f}, {ends[1]:+.3f}]" if ends else " [-]")


def _is_uncondensed(manifest: Manifest) -> bool:
    return manifest.kind == "model" and not manifest.is_condensed


def render(result: Record) -> Iterator[Any]:
    """Show the smallest file of each network, from the smallest up, and the answer."""
    if result["candidates"]:
        yield _table(result)
    stays, deaths = result["validation"]["stays"], result["validation"]["deaths"]
    count = len({record["network"] for record in result["candidates"]})
    left = f"not tried: {len(result['untried'])} that could be smaller, {len(result['larger'])} larger than the answer"
    files = f"{len(result['candidates'])} files of {count} networks"
    if result["coarse"]:
        files += f" ({len(result['coarse'])} left out, whose risks rounding changes too much)"
    yield f"{files} compared on {stays:,} validation stays ({deaths:,} deaths); {left}."
    if result["chosen"]:
        best = result["chosen"]
        test = best["test"]
        yield f"{result['path']}: {best['name']}, {best['parameters']:,} parameters, {describe(best)} (validation)"
        yield f"Test split, looked at once: AUROC {number(test['auroc'], '.3f')}, {describe(best | test)}"
    if result["folds"]:
        told = result["folds"]
        chosen = ", ".join(name or "nothing" for name in told["chosen"])
        judged = sum(name is not None for name in told["chosen"])
        of = f"{judged} of {told['folds']} folds" if judged < told["folds"] else f"{told['folds']} folds"
        over = f"All {told['stays']:,} stays of {of}, choosing included"
        yield f"{over}: AUROC {difference_in_words(told)} to the baseline: {told['verdict']}. Chosen: {chosen}."
        yield "One search a fold: what other random numbers would change is not counted."
    if result["plots"]:
        yield f"Trade-off: {', '.join(result['plots'])}"


def _table(result: Record) -> Any:
    from rich.table import Table

    baseline = result["baseline"]
    title = f"Smallest file of each network against {baseline['name']}: "
    title += f"{baseline['bytes']:,} bytes, AUROC {baseline['auroc']:.3f}"
    table = Table(title=title, box=None, pad_edge=False)
    table.add_column("Candidate", overflow="fold")
    for heading in ("Bytes", "µs", "AUROC", "Difference [95 %]"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("Verdict", no_wrap=True)
    chosen = result["chosen"] and result["chosen"]["name"]
    for record in _smallest_of_each(result["candidates"], chosen):
        time_us = "-" if record["latency_us"] is None else f"{record['latency_us']:.0f}"
        name = record["name"] + (" *" if record["name"] == chosen else "")
        cells = (f"{record['bytes']:,}", time_us, f"{record['auroc']:.3f}", difference_in_words(record))
        verdict = record["verdict"].split(" with ")[0]
        table.add_row(name, *cells, verdict, style="bold" if record["name"] == chosen else None)
    return table


def _smallest_of_each(records: list[Record], chosen: str | None) -> list[Record]:
    """Return one file of each network, the chosen one or the smallest; `records` go from the smallest up."""
    shown: dict[str, Record] = {}
    for record in records:
        if record["network"] not in shown or record["name"] == chosen:
            shown[record["network"]] = record
    return sorted(shown.values(), key=lambda record: record["bytes"])
