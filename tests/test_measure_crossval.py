"""Cross-validated comparisons: within folds, over all stays, counting patients and seeds."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from mortcond.measure import comparison, crossval, validation
from mortcond.measure.comparison import Pair
from mortcond.measure.crossval import HeldOut
from mortcond.measure.intervals import bootstrap, interval
from mortcond.measure.validation import Member


def held_out(stays=400, folds=4, repeats=1, seeds=2, noise=(0.0, 0.3), spread=0.0, rng=None) -> HeldOut:
    """Return forms that are a baseline and it with noise; `spread`: noise that is another one in every training."""
    rng = rng or np.random.default_rng(0)
    died = (np.arange(stays) < stays // 4).astype(np.uint8)
    baseline = 1.3 * died + rng.normal(size=stays)
    fold = np.stack([rng.permutation(np.arange(stays) % folds) for _ in range(repeats)])
    risks = np.empty((len(noise), repeats, seeds, stays))
    for form, amount in enumerate(noise):
        common = baseline + amount * rng.normal(size=stays)
        risks[form] = common + (spread if form else 0.0) * rng.normal(size=(repeats, seeds, stays))
    return HeldOut(died, np.arange(stays), fold, risks, tuple(f"form {i}" for i in range(len(noise))))


def test_the_auroc_is_the_share_of_pairs_within_folds():
    held = held_out(seeds=1)
    found = crossval.resample(held, 50)
    weighted = []
    for fold in range(4):
        rows = held.fold[0] == fold
        died = held.died[rows]
        weighted.append((roc_auc_score(died, held.risks[1, 0, 0, rows]), died.sum() * (1 - died).sum()))
    values, pairs = np.array(weighted).T
    assert found.auroc[1] == pytest.approx((values * pairs).sum() / pairs.sum())
    assert found.by_fold[1, 0] == pytest.approx(values)


def test_risks_of_another_scale_in_each_fold_change_nothing():
    """Networks of different folds are calibrated differently: their risks are never ranked against each other."""
    held = held_out(seeds=1)
    shifted = held.risks + 100.0 * held.fold[0]
    moved = HeldOut(held.died, held.subject_id, held.fold, shifted, held.names)
    one, other = crossval.resample(held, 50), crossval.resample(moved, 50)
    assert one.auroc == pytest.approx(other.auroc)
    assert one.resampled == pytest.approx(other.resampled)


def test_with_one_fold_and_one_seed_it_is_the_ordinary_bootstrap():
    held = held_out(folds=1, seeds=1)
    found = crossval.resample(held, 1000)
    plain = bootstrap(held.died, held.risks[:, 0, 0], held.subject_id, 1000)
    assert found.auroc[0] == pytest.approx(roc_auc_score(held.died, held.risks[0, 0, 0]))
    assert interval(found.resampled[0]) == pytest.approx(interval(plain.auroc[0]), abs=0.01)


def test_all_stays_of_a_patient_are_drawn_together_and_within_their_fold():
    held = held_out(stays=40)
    twins = HeldOut(held.died, np.arange(40) // 2, np.array([np.arange(40) // 10]), held.risks, held.names)
    counts = crossval._draw_patients(twins, 30, np.random.default_rng(0))
    assert (counts[:, ::2] == counts[:, 1::2]).all()
    assert (counts.reshape(30, 4, 10).sum(2) == 10).all()


@pytest.mark.parametrize("number", [2, 3, 5])
def test_drawn_runs_give_their_mean_the_variance_of_a_mean(number):
    values = np.random.default_rng(number).normal(size=number)
    weights = crossval._stretched(np.random.default_rng(1), number, (40_000,))
    assert weights.sum(-1) == pytest.approx(np.ones(40_000))
    assert (weights @ values).var() == pytest.approx(values.var(ddof=1) / number, rel=0.05)


def test_the_spread_over_seeds_widens_the_interval():
    def width(spread: float) -> float:
        found = crossval.resample(held_out(seeds=3, spread=spread, noise=(0.0, 0.0)), 400)
        low, high = interval(found.resampled[1] - found.resampled[0])
        return high - low

    assert width(0.0) == 0
    assert width(0.8) > 0.01


def test_repeats_stand_in_for_seeds_where_there_is_one():
    held = held_out(repeats=3, seeds=1, spread=0.5, noise=(0.0, 0.0))
    weights = crossval._draw_runs(3, 4, 1, 500, np.random.default_rng(0))
    assert weights.sum(1) == pytest.approx(np.full((500, 4, 1), 3.0))
    assert not np.allclose(weights[:, :, 0], weights[:, :, 1]), "each fold's trainings are drawn for themselves"
    found = crossval.resample(held, 300)
    assert found.by_fold.shape == (2, 3, 4)
    assert np.nanmean(found.resampled[1]) == pytest.approx(found.auroc[1], abs=0.02)


@pytest.mark.parametrize(("repeats", "seeds", "degrees"), [(1, 1, None), (1, 2, 4), (1, 3, 8), (3, 1, 8), (2, 2, 8)])
def test_degrees_of_freedom_are_the_trainings_beyond_the_first(repeats, seeds, degrees):
    assert crossval.resample(held_out(repeats=repeats, seeds=seeds), 2).degrees == degrees


@pytest.mark.parametrize(("repeats", "seeds"), [(1, 3), (2, 3), (3, 1)])
def test_the_variance_of_trainings_is_what_the_resamples_draw_of_it(repeats, seeds):
    held = held_out(repeats=repeats, seeds=seeds, spread=0.6, noise=(0.0, 0.0))
    found = crossval.resample(held, 2)
    told = crossval._variance_of_trainings(found, np.array([1]), np.array([0]))[0]
    weights = crossval._draw_runs(repeats, 4, seeds, 20_000, np.random.default_rng(0))
    drawn = np.einsum("brks,rks->b", weights, (found.by_training[1] - found.by_training[0]) * found.share[..., None])
    assert told == pytest.approx(drawn.var(), rel=0.05)


def test_where_trainings_differ_more_of_them_are_asked_for_not_more_stays():
    held = held_out(stays=4000, seeds=2, spread=0.5, noise=(0.0, 0.0))
    one = crossval.compare(held, crossval.resample(held, 300), [Pair(1, 0, "form 0")], margin=0.08)[0]
    assert 0 < one.training_share <= 1
    assert comparison.stays_needed(400, 0.0, np.array([-0.01, 0.01]), 0.01, of_trainings=2e-4) is None


def test_a_form_against_itself_differs_by_nothing():
    held = held_out(noise=(0.0, 0.0))
    found = crossval.resample(held, 100)
    one = crossval.compare(held, found, [Pair(1, 0, "form 0")])[0]
    assert (one.value, one.ci95, one.verdict) == (0.0, [0.0, 0.0], "not inferior")


def test_a_clear_loss_is_inferior():
    held = held_out(stays=2000, noise=(0.0, 2.0))
    one = crossval.compare(held, crossval.resample(held, 200), [Pair(1, 0, "form 0")])[0]
    assert one.verdict == "inferior"


def test_a_fold_that_a_resample_leaves_without_deaths_counts_for_nothing():
    held = held_out(stays=40, folds=4, noise=(0.0,))
    few = HeldOut((np.arange(40) % 10 == 0).astype(np.uint8), held.subject_id, held.fold, held.risks, held.names)
    found = crossval.resample(few, 200)
    defined = found.resampled[0][~np.isnan(found.resampled[0])]
    assert len(defined) > 150
    assert ((defined >= 0) & (defined <= 1)).all()


def test_risks_that_are_no_numbers_give_no_auroc():
    held = held_out()
    risks = held.risks.copy()
    risks[1, 0, 0, 7] = np.nan
    broken = HeldOut(held.died, held.subject_id, held.fold, risks, held.names)
    found = crossval.resample(broken, 100)
    assert np.isnan(found.auroc[1])
    one = crossval.compare(broken, found, [Pair(1, 0, "form 0")])[0]
    assert (one.value, one.noninferior) == (None, None)


@pytest.mark.slow
def test_a_false_yes_over_folds_and_seeds_is_rare():
    """Each training loses something else, the margin on average: the verdict has to count that."""
    rng, wrong = np.random.default_rng(5), 0
    repeats = 200
    for _ in range(repeats):
        stays, folds, seeds = 1200, 5, 3
        died = (np.arange(stays) < 170).astype(np.uint8)
        fold = rng.permutation(np.arange(stays) % folds)
        baseline = 1.295 * died + rng.normal(size=stays)
        risks = np.stack([np.broadcast_to(baseline, (1, seeds, stays))] * 2).copy()
        noise = rng.normal(size=stays)
        for k in range(folds):
            rows = fold == k
            for seed in range(seeds):
                amount = abs(0.295 + 0.15 * rng.normal())  # a loss about the margin, another one each time
                risks[1, 0, seed, rows] += amount * noise[rows]
        held = HeldOut(died, np.arange(stays), fold[None], risks, ("baseline", "form"))
        found = crossval.resample(held, 300, int(rng.integers(2**31)))
        truth = 0.01198  # the mean loss of such amounts: Phi(mu / sqrt 2) - Phi(mu / sqrt(2 (1 + a^2))) over them
        wrong += crossval.compare(held, found, [Pair(1, 0, "baseline")], truth)[0].noninferior is True
    assert wrong / repeats <= 0.05


def member(name, parent=None, baseline=None, mode="float32", size=1000, moved=None) -> Member:
    fact = {"size_bytes": size, "parameters": 10, "seconds": 1.0, "max_abs_dp": moved}
    return Member(name, name.split("-")[0], mode, parent, baseline, [fact])


def judged(noise=(0.0, 0.05, 0.05, 2.0, 2.0), moved=0.01, stays=3000) -> dict:
    members = [
        member("lstm", size=40_000),
        member("lstm-int8", "lstm", "lstm", "int8", 10_000, moved),
        member("lstm-pruned50", "lstm", "lstm", size=20_000),
        member("linear", size=3_000),
        member("trees", size=None),
    ]
    held = held_out(stays=stays, noise=noise)
    named = HeldOut(held.died, held.subject_id, held.fold, held.risks, tuple(m.name for m in members))
    return validation.judged(named, members, 0.02, 200, 0)


def test_the_answer_is_the_smallest_form_that_is_not_inferior():
    result = judged()
    assert result["answer"]["form"] == "lstm-int8"
    assert "yes: of 2 condensed forms of lstm 2 lost no more than 0.02" in result["answer"]["sentence"]
    assert "4.0 times smaller" in result["answer"]["sentence"]
    forms = {record["name"]: record for record in result["forms"]}
    assert forms["lstm"]["against"]["parent"] is None
    assert forms["lstm"]["against"]["linear"]["value"] > 0.05
    assert forms["linear"]["against"]["trees"] is None
    assert result["families"] == {"condensed": 4, "linear": 3, "trees": 3}


def test_a_form_that_rounding_changes_too_much_is_flagged_and_never_the_answer():
    result = judged(moved=0.3)
    assert result["answer"]["form"] == "lstm-pruned50"
    assert any("up to 0.300, more than the 0.1" in line for line in result["cautions"])


def test_too_few_deaths_never_give_a_verdict():
    result = judged(stays=36)
    assert result["answer"]["sentence"].startswith("Cross-validated on all 36 stays (9 deaths): it cannot be told yet")
    assert any("too few" in line for line in result["cautions"])


def test_the_answer_asks_for_more_trainings_where_stays_alone_would_not_do():
    undecided = {"noninferior": None, "stays_needed": None, "training_share": 0.2}
    assert "more of them (--seeds) would help" in validation._missing(undecided)
    assert validation._missing(undecided | {"training_share": None}) == ""
    assert validation._missing(undecided | {"stays_needed": 5123}).startswith("; about 5,")
    assert validation._missing(undecided | {"noninferior": True, "stays_needed": 5123}) == ""


def test_one_training_of_each_is_said_to_be_one():
    held = held_out(seeds=1)
    named = HeldOut(held.died, held.subject_id, held.fold, held.risks, ("lstm", "lstm-int8"))
    result = validation.judged(named, [member("lstm"), member("lstm-int8", "lstm", "lstm", "int8")], 0.01, 100, 0)
    assert any("One training of each" in line for line in result["cautions"])


def test_what_is_written_can_be_read_again_for_the_same_data_only(tmp_path):
    result = judged() | {"dataset": {"sha256": "abc"}, "path": str(tmp_path)}
    validation.write(tmp_path, result)
    assert {path.name for path in tmp_path.iterdir()} >= {"results.json", "results.csv", "verdicts.csv", "verdicts.svg"}
    assert validation.read(tmp_path, "abc") == result
    assert validation.read(tmp_path, "other") is None
    assert validation.read(tmp_path / "nowhere", "abc") is None
    (tmp_path / "results.json").write_text("{")
    assert validation.read(tmp_path, "abc") is None


@pytest.mark.parametrize(("width", "there"), [(80, "verdict"), (200, "to trees")])
def test_the_table_fits_the_terminal_without_broken_lines(width, there):
    from rich.console import Console

    result, console = judged(), Console(width=width)
    with console.capture() as capture:
        console.print(validation.FormTable(result))
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) == 1 + len(result["forms"])
    assert "…" not in capture.get()
    assert there in lines[0]
