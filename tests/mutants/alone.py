"""``python -m tests.mutants.alone simulation --mutant NAME --seeds 100``: one layer on one mutant, in this
process; prints the verdict as JSON. What ``layers.verdict`` starts."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import nullcontext

from tests.mutants.layers import SEEDS, Layer, simulate, tell_stories, to_json
from tests.mutants.mutants import BY_NAME


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants.alone", description=__doc__)
    parser.add_argument("layer", choices=[Layer.SIMULATION.value, Layer.GOLDEN.value])
    parser.add_argument("--mutant", default="", help="the default is the code as it is")
    parser.add_argument("--seeds", type=int, default=SEEDS)
    options = parser.parse_args(arguments)
    with BY_NAME[options.mutant].plant() if options.mutant else nullcontext():
        found = simulate(options.seeds) if options.layer == Layer.SIMULATION else tell_stories()
    print(to_json(found))


if __name__ == "__main__":
    main()
