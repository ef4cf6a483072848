"""The judge of a search: files held against one baseline on one set of stays, all by the same resamples of patients.

Comes in: outcomes, patients, the baseline's risks, and the risks of one file after the other. Goes out: for each file
its AUROC and its difference to the baseline; whether it may be chosen, by its own interval; and a verdict that holds
for all files seen so far together. A choice is no verdict: that is for stays that had no part in it.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from mortcond import scores
from mortcond.measure import comparison
from mortcond.measure.comparison import Comparison, Pair
from mortcond.measure.intervals import RESAMPLES, interval, resample_counts, too_few
from mortcond.measure.records import plain

Record = dict[str, Any]


@dataclass
class Judge:
    """Compares files with a baseline; the more of them it has seen, the more a verdict takes."""

    died: np.ndarray  # (stays,)
    subject_id: np.ndarray  # (stays,)
    reference: np.ndarray  # (stays,): the baseline's risks
    baseline: str  # its name
    margin: float
    seed: int = 0
    resamples: int = RESAMPLES
    risks: dict[str, np.ndarray] = field(default_factory=dict)  # of each file seen, by name
    resampled: dict[str, np.ndarray] = field(default_factory=dict)  # their AUROC, (resamples,)

    def __post_init__(self):
        counts = resample_counts(self.subject_id, self.resamples, self.seed)
        self.counts = np.concatenate(list(counts))  # (resamples, stays)
        self.of_reference = self._resampled(self.reference)

    @property
    def caution(self) -> str | None:
        """Why these stays are too few to tell anything; None where they are not."""
        return too_few(self.died)

    def see(self, name: str, risk: np.ndarray) -> Record:
        """Take in a file's risks; return its AUROC with interval. What it is worth, `verdicts` says."""
        self.risks[name], self.resampled[name] = np.asarray(risk), self._resampled(risk)
        return plain({"auroc": scores.auroc(self.died, risk), "auroc_ci95": interval(self.resampled[name])})

    def verdicts(self) -> dict[str, Record]:
        """Return for every file seen its difference to the baseline, whether it qualifies, and the verdict.

        `qualifies`: its own 95 % interval lies above the margin; `low`: the lower end of that; `noninferior` and
        `verdict`: by the bound that holds for all files together, `difference.low`.
        """
        names = list(self.risks)
        pairs = [Pair(place, 0, self.baseline) for place in range(1, len(names) + 1)]
        risks = np.stack([self.reference, *self.risks.values()])
        resampled = np.stack([self.of_reference, *self.resampled.values()])
        found = comparison.compare(self.died, risks, resampled, pairs, self.margin)
        enough = self.caution is None
        return {name: _record(one, enough) for name, one in zip(names, found, strict=True)}

    def _resampled(self, risk: np.ndarray) -> np.ndarray:
        if np.isnan(risk).any():  # it has no rank: whatever is counted then is no score
            return np.full(len(self.counts), np.nan)
        return scores.auroc_of(*scores.Ranking(self.died, np.asarray(risk)).deaths_and_stays(self.counts))


def _record(found: Comparison, enough: bool) -> Record:
    low = found.ci95[0] if found.ci95 else None
    kept = ("value", "ci95", "low", "noninferior", "verdict", "stays_needed")
    record = {"difference": {name: getattr(found, name) for name in kept}, "low": low}
    record["qualifies"] = enough and low is not None and low > -found.margin
    return plain(record | {"noninferior": found.noninferior, "verdict": found.verdict})
