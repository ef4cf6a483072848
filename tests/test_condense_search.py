"""The search: which candidates, in which order, and which one is the answer. No training."""

import pytest

from mortcond.condense.search import (
    MODES,
    Recipe,
    chosen,
    front,
    may_still_win,
    nearest,
    recipes,
    smallest_first,
    within,
)

ARCHS = ("lstm", "hlstm", "dnn", "linear")


def record(name, size, auroc, low=None, latency_us=10.0, margin=0.01):
    network = name.split(":")[0]
    facts = {"name": name, "network": network, "bytes": size, "auroc": auroc, "latency_us": latency_us, "low": low}
    facts["origin"] = "baseline" if network == "baseline" else "new"
    return facts | {"qualifies": low is not None and low > -margin}


def test_every_candidate_has_a_name_of_its_own():
    for arch in ARCHS:
        names = [recipe.name for recipe in recipes(arch, ARCHS)]
        assert len(set(names)) == len(names)


def test_what_a_baseline_can_be_made_into():
    origins = {arch: {recipe.origin for recipe in recipes(arch, ARCHS)} for arch in ARCHS}
    assert origins == {
        "lstm": {"baseline", "new", "pruned", "converted"},
        "hlstm": {"baseline", "new", "pruned"},
        "dnn": {"baseline", "new", "pruned"},
        "linear": {"baseline", "new"},
    }
    assert {recipe.arch for recipe in recipes("lstm", ["dnn"])} == {"dnn"}


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        (Recipe("new", "lstm", (16, 16)), "lstm16x16"),
        (Recipe("new", "linear"), "linear"),
        (Recipe("baseline", "lstm"), "lstm"),
        (Recipe("new", "dnn", (8,), distil=True, summary="full"), "dnn8-full-distil"),
        (Recipe("pruned", "dnn", (), 0.5), "dnn-pruned50"),
        (Recipe("converted", "hlstm", (), None, True), "lstm-hlstm-distil"),
        (Recipe("converted", "hlstm", (), 0.25, True), "lstm-pruned25-hlstm-distil"),
    ],
)
def test_names_say_how_a_candidate_is_made(recipe, name):
    assert recipe.name == name
    assert recipe.to_dict()["name"] == name


def test_limits():
    small = record("a", 8000, 0.8)
    assert within(small, None, None)
    assert within(small, 8000, 10)
    assert not within(small, 7999, None)
    assert not within(small, None, 9.9)
    assert within(small | {"latency_us": None}, None, 9.9)


def test_networks_are_tried_from_the_smallest_file_up():
    files = [record("big:int8", 9000, 0), record("small:float32", 20000, 0), record("small:int8", 4000, 0)]
    files += [record("slow:int8", 4000, 0, latency_us=50.0)]
    assert smallest_first(files) == ["small", "slow", "big"]
    assert smallest_first([*files, record("baseline:int8", 8000, 0)]) == ["baseline", "small", "slow", "big"]


def test_the_answer_is_the_smallest_that_is_not_inferior():
    tried = [record("tiny", 2000, 0.70, -0.2), record("good", 4000, 0.80, -0.009), record("best", 9000, 0.9, 0.05)]
    assert chosen(tried)["name"] == "good"
    assert chosen(tried[:1]) is None
    assert chosen([record("untested", 1, 0.9)]) is None


def test_the_search_goes_on_only_while_something_smaller_is_left():
    good = record("good", 4000, 0.8, -0.001)
    assert may_still_win([record("left", 3000, 0)], good)
    assert not may_still_win([record("left", 4000, 0)], good)
    assert may_still_win([record("left", 9000, 0)], None)
    assert not may_still_win([], None)


def test_the_nearest_is_the_one_whose_interval_reaches_down_least():
    tried = [record("tiny", 2000, 0.70, -0.2), record("near", 4000, 0.80, -0.02), record("nearly", 9000, 0.79, -0.03)]
    assert nearest(tried)["name"] == "near"
    assert nearest([record("untested", 1, 0.9)]) is None


def test_nothing_on_the_front_is_beaten_by_a_smaller_file():
    points = [record("a", 1, 0.7), record("b", 2, 0.6), record("c", 3, 0.8), record("d", 3, 0.75), record("e", 4, 0.8)]
    assert front(points) == {"a", "c"}


def test_the_baseline_is_no_candidate_as_it_is():
    assert Recipe("baseline", "lstm").modes == ("int8", "dynamic", "float16")
    assert Recipe("new", "lstm", (8,)).modes == MODES


def test_the_modes_are_those_that_files_are_written_in():
    from mortcond.deploy.weights import MODES as WRITTEN

    assert set(MODES) == set(WRITTEN) - {"integer"}  # larger than int8, and no faster than dynamic
