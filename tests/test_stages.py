"""Which recurrent layers share a loop over the hours, and what a loop keeps for what comes after it."""

import numpy as np
import pytest
from condense_networks import GENERAL, bidirectional, channel_wise, dnn, hlstm, hour_by_hour, joined, lstm

from mortcond.network import INPUT, Network
from mortcond.stages import Loop, stages

NETWORKS = {"lstm": lstm, "hlstm": lambda: hlstm(layers=2), "dnn": dnn, **GENERAL}


def loops(network: Network) -> list[Loop]:
    return [stage for stage in stages(network) if isinstance(stage, Loop)]


@pytest.mark.parametrize("name", NETWORKS)
def test_every_stage_finds_what_it_reads_and_every_node_has_one(name):
    network, known = NETWORKS[name](), {INPUT}
    for stage in stages(network):
        if isinstance(stage, Loop):
            inside = {node.name for node in stage.nodes}
            assert {source for node in stage.nodes for source in node.inputs} <= known | inside
            known |= set(stage.stored) | {n.name for n in stage.recurrent if not n.layer.sequences}
        else:
            assert set(stage.node.inputs) <= known, f"{stage.node.name} is too early"
            known.add(stage.node.name)
    assert network.output.name in known


@pytest.mark.parametrize("name", NETWORKS)
def test_in_a_loop_a_node_reads_what_stands_before_it_in_its_own_direction(name):
    for loop in loops(NETWORKS[name]()):
        seen = {}
        for node in loop.nodes:
            for source in node.inputs:
                if source in {other.name for other in loop.nodes}:
                    assert seen[source] == loop.backwards(node)
            seen[node.name] = loop.backwards(node)


def test_a_stack_is_one_loop_that_keeps_nothing():
    (loop,) = loops(lstm((5, 4, 3)))
    assert [node.name for node in loop.nodes] == ["recurrent.0", "recurrent.1", "recurrent.2"]
    assert loop.stored == ()


def test_both_directions_share_a_loop_and_what_reads_both_has_the_next():
    both, above = loops(bidirectional())
    assert {node.name for node in both.nodes} == {"forward", "backward"}
    assert both.stored == ("backward", "forward")
    assert [node.name for node in above.nodes] == ["above"]


def test_all_channels_share_one_loop():
    channels, above = loops(channel_wise(5))
    assert len(channels.nodes) == 10
    assert len(above.nodes) == 1


def test_a_layer_between_two_of_one_direction_stands_in_their_loop():
    (loop,) = loops(hour_by_hour())
    assert [node.name for node in loop.nodes] == ["below", "between", "shortcut", "above"]
    assert loop.read_between() == [(INPUT, True)]
    assert loop.stored == ("above",)


def test_a_summary_beside_a_state_is_outside_the_loop():
    network = joined()
    (loop,) = loops(network)
    assert [node.name for node in loop.nodes] == ["state"]
    assert np.isfinite(network.predict(np.zeros((1, network.hours, network.features)))).all()
