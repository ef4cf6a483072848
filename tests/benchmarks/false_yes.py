"""How often `bench`, `condense` and `validate` say "not inferior" where every form loses just the margin.

Comes in: how many simulated tables. Goes out: a table of rates, before and now. See tests/simulated_tables.py for what
is simulated. Before: for bench and condense each interval for itself, for validate bounds by one tail alone, and as if
the spread over trainings were known.

    python tests/benchmarks/false_yes.py bench condense validate --repeats 1000
"""

import argparse
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simulated_tables
from simulated_tables import Trained

SPREADS = {"no spread": 0.0, "some spread": 0.15, "wide spread": 0.25}


def bench() -> Iterator[tuple]:
    for forms in (1, 9):
        yield f"bench, {forms} forms", simulated_tables.bench, forms


def condense() -> Iterator[tuple]:
    yield "condense, 41 candidates", simulated_tables.condense, 41


def validate() -> Iterator[tuple]:
    plans = [(1, 1), (2, 1), (3, 1), (5, 1), (1, 3)]  # seeds, repeats
    for forms in (1, 9):
        for told, spread in SPREADS.items():
            for seeds, repeats in plans if forms == 1 else plans[:4]:
                times = f"{seeds} seeds" if repeats == 1 else f"{seeds} seed, {repeats} repeats"
                simulate = partial(simulated_tables.validate, trained=Trained(seeds, repeats, spread))
                yield f"validate, {forms} forms, {times}, {told} over trainings", simulate, forms


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = {"bench": bench, "condense": condense, "validate": validate}
    parser.add_argument("commands", nargs="+", choices=commands)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    how = {"resamples": options.resamples, "repeats": options.repeats, "seed": options.seed}
    print(f"{options.repeats:,} simulated tables, {options.resamples:,} resamples each")
    print("| true loss 0.01 of AUROC, margin 0.01 | yes, before | yes, now |\n| --- | ---: | ---: |")
    for name, simulate, number in (row for command in options.commands for row in commands[command]()):
        started = time.monotonic()
        before, now = simulated_tables.rates(simulate, number, **how)
        print(f"| {name} | {100 * before:.1f} % | {100 * now:.1f} % |", flush=True)
        print(f"  ({time.monotonic() - started:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
