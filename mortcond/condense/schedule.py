"""condense: when to prune.

Comes in: a schedule's name and the numbers of epochs. Goes out: from which epoch's weights to start, and after which
epochs how much is gone.

| schedule | starts from | cut | then |
| --- | --- | --- | --- |
| epoch | the parent after epoch k (the paper, k = 1) | at once | the remaining epochs |
| gradual | the parent after epoch k | in steps of falling size (Zhu and Gupta 2017) | training between and after them |
| final | the trained parent | at once | half as many epochs again |
| rewind | epoch k, cut where the *trained* parent is weakest (Frankle and Carbin 2018) | at once | the rest |
"""

from dataclasses import dataclass

from mortcond.core.errors import UsageError


@dataclass(frozen=True)
class Plan:
    """A schedule in numbers."""

    start_epoch: int  # the parent's epochs that the child takes over
    last_epoch: int  # of the child, counted with those
    cuts: tuple[tuple[int, float], ...]  # (after epoch, share of what goes in the end that is gone then)
    score_trained: bool = False  # score the channels on the trained parent, not on the weights that are cut

    def stages(self) -> list[tuple[float, int, int]]:
        """Return (share gone, first epoch to train, last epoch to train) for each cut; no epochs where first > last."""
        ends = [epoch for epoch, _ in self.cuts[1:]] + [self.last_epoch]
        return [(share, epoch + 1, end) for (epoch, share), end in zip(self.cuts, ends, strict=True)]


def plan(schedule: str, *, parent_epochs: int, after_epoch: int = 1, epochs: int | None = None, steps: int = 4) -> Plan:
    """Return the plan of a schedule.

    Parameters
    ----------
    schedule
        One of `core.choices.PruneSchedule`.
    parent_epochs
        How many epochs the parent was trained.
    after_epoch
        k; not used by `final`.
    epochs
        Of the child in all, those of the parent before the cut included. None: the parent's number; for `final` half as
        many again, for fine-tuning.
    steps
        Cuts of `gradual`; fewer where there are too few epochs.

    Raises
    ------
    UsageError
        The epochs do not fit each other.
    """
    start = parent_epochs if schedule == "final" else after_epoch
    if start > parent_epochs:
        raise UsageError(
            f"--after-epoch {after_epoch}: the model was trained for {parent_epochs} epochs only.",
            "Name an earlier one.",
        )
    default = parent_epochs + max(1, parent_epochs // 2) if schedule == "final" else max(parent_epochs, start + 1)
    last = default if epochs is None else epochs
    if last < start:
        raise UsageError(
            f"--epochs {last} counts all epochs of the child, and {start} are done before it is pruned.",
            f"Give at least {start}.",
        )
    if schedule != "gradual":
        return Plan(start, last, ((start, 1.0),), schedule == "rewind")
    return Plan(start, last, _gradual(start, last, steps))


def _gradual(start: int, last: int, steps: int) -> tuple[tuple[int, float], ...]:
    """Spread the cuts over the first half of what is left to train; share gone after t of n steps: 1 - (1 - t/n)^3."""
    steps = max(1, min(steps, last - start))
    apart = max(1, (last - start) // (2 * steps))
    return tuple((start + apart * step, 1 - (1 - (step + 1) / steps) ** 3) for step in range(steps))
