"""What cutting without any training costs, and how much of it the weights left take back: real networks.

    python tests/benchmarks/cut_without_labels.py [--data ../shared/data] [--model MODEL --dataset DATASET]

Two networks of others on the 57 stays of the MIMIC-III demo (weights from half of them, risks of the other half, and
the halves exchanged), and a model of one's own, such as an lstm of set A, on its validation stays with weights from its
training stays. Outcomes are not used. A row a quantile: mean and largest change of a risk.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))
sys.path.insert(0, str(Path(__file__).resolve().parent))

from imported_networks import ROOT, prepared_stays

from mortcond.channels import groups
from mortcond.condense.compensate import compensated
from mortcond.condense.cut import cut
from mortcond.condense.score import score
from mortcond.condense.select import Amount, select
from mortcond.exchange.load import Given, load
from mortcond.network import Network

QUANTILES = (0.1, 0.25, 0.5, 0.75)


def moved(
    network: Network, quantile: float, learnt: np.ndarray, asked: np.ndarray
) -> tuple[np.ndarray, np.ndarray, int]:
    """Return by how much each risk moves as it is cut and with what makes up for it, and the parameters left."""
    kept = select(score(network, "mean", groups(network)), Amount(quantile))
    bare, made_up = cut(network, kept), cut(compensated(network, kept, learnt), kept)
    before = network.predict(asked)
    return *(np.abs(one.predict(asked) - before) for one in (bare, made_up)), bare.parameters


def table(label: str, network: Network, halves: list[tuple[np.ndarray, np.ndarray]]) -> None:
    stays = sum(len(asked) for _, asked in halves)
    print(f"\n{label}, {network.parameters:,} parameters, {stays} stays")
    print("| quantile | parameters | cut alone: mean, most | made up for: mean, most |\n| ---: | ---: | ---: | ---: |")
    for quantile in QUANTILES:
        parts = [moved(network, quantile, *half) for half in halves]
        old, new = (np.concatenate([part[which] for part in parts]) for which in (0, 1))
        cells = [f"{changes.mean():.3f}, {changes.max():.2f}" for changes in (old, new)]
        print(f"| {quantile} | {parts[0][2]:,} | {cells[0]} | {cells[1]} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    usual = os.environ.get("MORTCOND_TEST_DATA", ROOT.parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(usual))
    parser.add_argument("--model", type=Path, help="a model directory")
    parser.add_argument("--dataset", type=Path, help="its data set")
    options = parser.parse_args()
    folder = options.data / "pretrained"
    with tempfile.TemporaryDirectory() as scratch:
        x = prepared_stays(options.data, folder, Path(scratch))
    for label, start in (("channel by channel", "r2k"), ("bidirectional LSTM", "k_lstm")):
        network = load(next(folder.glob(f"{start}*.state")), Given(compare=False)).network
        table(label, network, [(x[::2], x[1::2]), (x[1::2], x[::2])])
    if options.model:
        from mortcond import dataset as datasets
        from mortcond.deploy.directory import load_network

        data = datasets.load(options.dataset, splits=("train", "val"))
        table(str(options.model.name), load_network(options.model), [(data.train.X, data.val.X)])


if __name__ == "__main__":
    main()
