"""condense: what a teacher predicts, for a student to learn from (Hinton et al. 2015, the paper's [18]).

Comes in: a trained Network and scaled stays. Goes out: its risks, the soft targets of `training.training.fit`.
"""

import numpy as np

from mortcond.core.console import Console
from mortcond.network import Network

STAYS_AT_A_TIME = 512


def soft_targets(teacher: Network, x: np.ndarray, console: Console) -> np.ndarray:
    """Return the teacher's risk of each stay, (stays,) float32; x: (stays, hours, features), scaled."""
    parts = []
    with console.progress("Teacher's predictions", total=len(x)) as bar:
        for start in range(0, len(x), STAYS_AT_A_TIME):
            parts.append(teacher.predict(x[start : start + STAYS_AT_A_TIME], np.float32))
            bar.advance(len(parts[-1]))
    return np.concatenate(parts).astype(np.float32)
