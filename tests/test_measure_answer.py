"""The answer in one sentence, the cautions, and how models are told apart in plots."""

from mortcond.measure.answer import answer, cautions
from mortcond.measure.plots.style import looks
from mortcond.measure.tables import signed
from mortcond.measure.typography import rounded

DATASET = {"n": 600, "events": 90, "split": "test", "caution": None}


def record(label: str, auroc: float, size: int, baseline: str | None = None, noninferior=None, **facts) -> dict:
    compared = None
    if baseline:
        compared = {
            "vs": baseline,
            "value": -0.002,
            "ci95": [-0.008, 0.004],
            "margin": 0.01,
            "noninferior": noninferior,
        }
        compared |= {"stays_needed": 1234} if noninferior is None else {}
    times = {"1": {"p50": size / 100, "p95": size / 50}}
    known = {"label": label, "name": label, "runtime": "litert", "arch": "lstm", "size_bytes": size, "lineage": []}
    known |= {"auroc": {"value": auroc}, "latency_us_per_stay": times, "delta_auroc": compared, "parent": baseline}
    known |= {"delta_auroc_baseline": compared, "delta_auroc_floor": None, "parent_is_current": None, "rounding": None}
    return known | {"quantization": "float32"} | facts


def test_the_answer_speaks_of_the_best_network_and_its_smallest_form_that_is_not_inferior():
    models = [
        record("lstm", 0.85, 40_000),
        record("lstm-a", 0.85, 20_000, "lstm", True),
        record("lstm-b", 0.85, 10_000, "lstm", True),
        record("lstm-c", 0.85, 5_000, "lstm", None),
        record("dnn", 0.70, 200_000, arch="dnn"),
        record("dnn-a", 0.71, 1_000, "dnn", True, arch="dnn"),
    ]
    found = answer(models, DATASET)
    assert found["model"] == "lstm-b"
    assert found["sentence"].startswith("Yes: of 3 condensed forms of lstm 2 lost no more than 0.01 of AUROC")
    assert "4.0 times smaller and 4.0 times faster than lstm" in found["sentence"]


def test_where_no_form_is_shown_to_be_as_good_the_answer_says_how_many_stays_would_do():
    found = answer([record("lstm", 0.85, 40_000), record("lstm-a", 0.85, 50_000, "lstm", None)], DATASET)
    assert found["sentence"].startswith("It cannot be told yet: of 1 condensed form of lstm none")
    assert "1.2 times larger and 1.2 times slower" in found["sentence"]
    assert found["sentence"].endswith("about 1,300 stays would decide it.")


def test_a_loss_is_told_as_a_loss():
    found = answer([record("lstm", 0.85, 40_000), record("lstm-a", 0.7, 39_500, "lstm", False)], DATASET)
    assert found["sentence"].startswith("No: of 1 condensed form of lstm each lost more than 0.01")
    assert "no smaller and no faster" in found["sentence"]


def test_the_linear_floor_is_not_the_network_that_was_condensed():
    models = [
        record("linear", 0.85, 4_000, arch="linear"),
        record("linear-int8", 0.85, 3_000, "linear", True, arch="linear"),
    ]
    assert answer(models, DATASET)["model"] is None


def test_cautions_name_the_floor_stale_parents_and_noise():
    above = {"vs": "linear", "value": 0.02, "ci95": [0.01, 0.03], "low": 0.005}
    models = [
        record("linear", 0.80, 4_000, arch="linear"),
        record("lstm", 0.82, 40_000, delta_auroc_floor=above),
        record("lstm-a", 0.82, 20_000, "lstm", None, parent_is_current=False),
    ]
    noise = {"of": "linear", "relative_difference": {"1": 0.2, "64": 0.01}}
    said = " ".join(
        cautions({"models": models, "dataset": DATASET, "noise": noise, "settings": {"margin": 0.01}, "drift": []})
    )
    assert "AUROC of 0.800 in 4.0 KB; 1 of 1 networks are above it beyond chance" in said
    assert "lstm-a was made from an earlier lstm" in said
    assert "differs from itself by 20 %" in said
    assert "about 1,300 stays would do" in said


def test_planned_stays_are_rounded_up_to_two_digits():
    assert [rounded(stays) for stays in (7, 99, 101, 17_815, 1_200_001)] == [7, 99, 110, 18_000, 1_300_000]


def test_a_difference_that_rounds_to_nothing_has_no_sign():
    assert [signed(value) for value in (-0.0004, 0.0004, -0.0006, 0.012)] == ["0.000", "0.000", "-0.001", "+0.012"]


def test_a_model_and_its_8_bit_form_share_colour_and_marker_and_differ_in_fill():
    steps = [{"command": "train", "name": "lstm"}, {"command": "prune", "name": "lstm-p"}]
    models = [
        record("lstm", 0.8, 1, lineage=steps[:1]),
        record("lstm-p", 0.8, 1, lineage=steps),
        record("lstm-p8", 0.8, 1, lineage=[*steps, {"command": "quantize", "name": "lstm-p8"}], quantization="int8"),
    ]
    base, pruned, quantised = looks({"models": models}).values()
    assert base.marker != pruned.marker == quantised.marker
    assert base.colour == pruned.colour == quantised.colour
    assert (pruned.hollow, quantised.hollow) == (False, True)
    assert len({str(shape.dash) for shape in (base, pruned, quantised)}) == 3


def test_another_hospitals_level_is_told_with_what_mends_it():
    """Only where the interval of the intercept leaves no doubt, and only of stays from elsewhere."""

    def at(label: str, mean_risk: float, intercept: float, ends: list[float] | None) -> dict:
        own = {"mean_risk": mean_risk, "intercept": intercept, "intercept_ci95": ends}
        return record(label, 0.8, 1000) | {"calibration": own}

    models = [at("low", 0.05, 1.1, [0.9, 1.3]), at("high", 0.4, -1, [-1.2, -0.8]), at("right", 0.15, 0, [-0.1, 0.1])]
    models.append(at("unknown", 0.15, 3.0, None))
    there = DATASET | {"external": "External validation", "prevalence": 0.15, "path": "there.npz"}
    noise = {"of": "low", "relative_difference": None}
    result = {"models": models, "dataset": there, "noise": noise, "settings": {"margin": 0.01}, "drift": []}
    first = next(cautions(result))
    assert "15.0 % of these stays died; mean risks are: of low 5.0 % (too low), of high 40.0 % (too high)." in first
    assert "mortcond recalibrate MODEL there.npz" in first
    fitted = " ".join(cautions(result | {"dataset": there | {"recalibrated_here": ["right"]}}))
    assert "The level of right was fitted to these very stays: its calibration here is no test of it" in fitted
    at_home = " ".join(cautions(result | {"dataset": there | {"external": None}}))
    assert "recalibrate" not in at_home
