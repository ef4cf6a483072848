"""How often `bench` and `condense` say "not inferior" where every form loses just the margin: before, and now.

Comes in: how many simulated tables. Goes out: a table of rates. See tests/simulated_tables.py for what is simulated.

    python tests/benchmarks/false_yes.py --repeats 1000
"""

import argparse
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import simulated_tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    how = {"resamples": options.resamples, "repeats": options.repeats, "seed": options.seed}
    print(f"{options.repeats:,} simulated tables, {options.resamples:,} resamples each")
    print("| true loss 0.01 of AUROC, margin 0.01 | yes, before | yes, now |\n| --- | ---: | ---: |")
    for name, simulate, number in (
        ("bench, 1 form", simulated_tables.bench, 1),
        ("bench, 9 forms", simulated_tables.bench, 9),
        ("condense, 41 candidates", simulated_tables.condense, 41),
    ):
        started = time.monotonic()
        before, now = simulated_tables.rates(simulate, number, **how)
        print(f"| {name} | {100 * before:.1f} % | {100 * now:.1f} % |", flush=True)
        print(f"  ({time.monotonic() - started:.0f} s)", file=sys.stderr)


if __name__ == "__main__":
    main()
