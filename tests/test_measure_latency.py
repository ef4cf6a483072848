"""What a measurement of cost is made of: calls, rounds, energy, processes that die."""

import signal

import numpy as np
import pytest

from mortcond.measure import latency, machine
from mortcond.measure.latency import Cost, Failed, Process
from mortcond.measure.worker import Worker, _batches, peak_rss_mb


def test_latency_is_taken_over_the_calls_of_all_rounds():
    cost = Cost(us={1: [[1.0, 2.0, 3.0], [4.0, 5.0]]})
    assert cost.latency(1) == {"p50": 3.0, "p95": 4.8}


def test_energy_is_shared_among_the_stays_that_ran():
    cost = Cost(us={64: [[1.0] * 10, [1.0] * 10]}, joules={64: 0.5})
    assert cost.energy_uj(64) == pytest.approx(0.5e6 / 1280)
    assert Cost(us={64: [[1.0]]}).energy_uj(64) is None


def test_noise_is_the_difference_of_two_medians_as_a_share():
    assert latency._noise(Cost(us={1: [[9.0]]}), Cost(us={1: [[11.0]]})) == {"1": 0.2}


def test_the_energy_counter_is_read_where_the_kernel_offers_one(tmp_path, monkeypatch):
    for package, microjoules in (("intel-rapl:0", 1_500_000), ("intel-rapl:1", 500_000)):
        (tmp_path / package).mkdir()
        (tmp_path / package / "energy_uj").write_text(f"{microjoules}\n")
    (tmp_path / "intel-rapl:0:0").mkdir()
    (tmp_path / "intel-rapl:0:0" / "energy_uj").write_text("7\n")  # a part of package 0, counted there already
    monkeypatch.setattr(machine, "RAPL", tmp_path)
    machine._counters.cache_clear()
    assert machine.energy_joules() == 2.0
    monkeypatch.setattr(machine, "RAPL", tmp_path / "absent")
    machine._counters.cache_clear()
    assert machine.energy_joules() is None
    machine._counters.cache_clear()


def test_a_process_that_dies_is_told_by_its_code():
    process = Process(threads=1)
    process.process.kill()
    with pytest.raises(Failed, match="the process ended with -9"):
        process.ask("memory")
    process.close()


def test_a_process_that_hangs_is_ended(monkeypatch):
    monkeypatch.setattr(latency, "PATIENCE_SECONDS", 0.2)
    process = Process(threads=1)
    process.process.send_signal(signal.SIGSTOP)
    with pytest.raises(Failed, match=r"no answer within 0\.2 s"):
        process.ask("memory")
    assert process.process.wait(timeout=10) == -9
    process.close()


def test_an_error_in_the_worker_is_an_answer_and_the_worker_lives_on():
    process = Process(threads=1)
    with pytest.raises(Failed, match=r"ModuleNotFoundError|KeyError"):
        process.ask("start", runtime="abacus", file="", folder="")
    assert process.ask("memory")["peak_rss_mb"] > 5
    process.close()


def test_a_fresh_process_does_not_inherit_the_peak_of_its_parent():
    ballast = np.ones(40_000_000)  # 320 MB
    process = Process(threads=1)
    child = process.ask("memory")["peak_rss_mb"]
    process.close()
    assert peak_rss_mb() > ballast.nbytes / 1e6
    assert child < 200


def test_batches_are_whole_and_repeat_few_stays():
    stays = np.arange(5, dtype="f4")[:, None, None]
    assert [batch[:, 0, 0].tolist() for batch in _batches(stays, 2)] == [[0, 1], [2, 3]]
    assert [batch[:, 0, 0].tolist() for batch in _batches(stays, 8)] == [[0, 1, 2, 3, 4, 0, 1, 2]]


def test_every_call_of_a_round_is_a_different_stay(monkeypatch):
    worker, seen = Worker(), []
    worker.stays = np.arange(300, dtype="f4")[:, None, None]
    worker.for_batch = lambda batch: lambda x: seen.append(float(x[0, 0, 0]))
    times = worker.measure(batch=1, seconds=0.0, sample=8)["us"]
    assert seen[3:] == [value % 8 for value in range(len(times))]


def test_predictions_cover_every_stay_also_those_of_the_last_short_batch(tmp_path):
    worker = Worker()
    worker.stays = np.arange(130, dtype="f4")[:, None, None]
    worker.for_batch = lambda batch: lambda x: x[:, 0, 0] / 200 if len(x) == batch else None
    worker.predict(str(tmp_path / "risks.npy"))
    assert np.load(tmp_path / "risks.npy").tolist() == pytest.approx((np.arange(130) / 200).tolist())
