"""``python -m tests.mutants``: plant every bug, one at a time, and see which layer of the tests notices.

Prints a table. With ``--first`` each bug is tried on the quickest layers first, and on no other once one has
noticed it: enough to know that none survives, in a fraction of the time. Ends with status 1 when a mutant
survives every layer it was tried on, and with status 2 when a layer fails on the code as it is: then no
verdict of that layer means anything.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict

from tests.mutants.layers import MEETS, QUICKEST_FIRST, SEEDS, Layer, Verdict, verdict
from tests.mutants.mutants import BY_NAME, MUTANTS
from tests.mutants.planting import Mutant

SURVIVED = "–"
NOT_ASKED = ""
"""The layer never runs the code that the bug is in, or another one has noticed already."""
Row = dict[Layer, Verdict]


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description=__doc__)
    parser.add_argument(
        "--mutant", action="append", choices=sorted(BY_NAME), metavar="NAME", help="may be given again"
    )
    parser.add_argument("--layers", default=",".join(Layer), help="separated by commas; default all")
    parser.add_argument("--first", action="store_true", help="stop at the first layer that notices")
    parser.add_argument("--seeds", type=int, default=SEEDS, help=f"of the simulation; default {SEEDS}")
    parser.add_argument("--jobs", type=int, default=1, help="mutants tried at the same time; default 1")
    parser.add_argument("--json", action="store_true", help="one line of JSON a mutant, as they end")
    options = parser.parse_args(arguments)
    layers = [Layer(name) for name in options.layers.split(",")]
    if options.first:
        layers.sort(key=QUICKEST_FIRST.index)
    chosen = [BY_NAME[name] for name in options.mutant] if options.mutant else list(MUTANTS)
    with ThreadPoolExecutor(options.jobs) as pool:
        # Ten sound seeds are enough to see that the layer works; `raftkv sim` runs the rest.
        sound = list(pool.map(lambda layer: verdict(layer, None, min(options.seeds, 10)), layers))
        for layer, found in zip(layers, sound, strict=True):
            if found.killed:
                print(f"{layer} fails on the code as it is: {found.how}", file=sys.stderr)
                return 2
        rows = pool.map(lambda mutant: _try(mutant, layers, options.seeds, options.first), chosen)
        survivors = _tell(zip(chosen, rows, strict=True), layers, options.json)
    if survivors:
        print(f"survived everything: {', '.join(survivors)}", file=sys.stderr)
    return 1 if survivors else 0


def _try(mutant: Mutant, layers: Sequence[Layer], seeds: int, first: bool) -> tuple[Row, float]:
    """What each layer says. ``first``: as far as the first one that notices."""
    began = time.monotonic()
    row: Row = {}
    for layer in layers:
        if mutant.part in MEETS[layer]:
            row[layer] = verdict(layer, mutant, seeds)
            if first and row[layer].killed:
                break
    return row, time.monotonic() - began


def _tell(rows: zip[tuple[Mutant, tuple[Row, float]]], layers: Sequence[Layer], as_json: bool) -> list[str]:
    """Print them as they come in; which of them nothing noticed."""
    survivors = []
    if not as_json:
        print(_line("mutant", *layers, "killed by"))
        print(_line(*["---"] * (len(layers) + 2)))
    for mutant, (row, seconds) in rows:
        killers = [layer for layer in layers if layer in row and row[layer].killed]
        if not killers:
            survivors.append(mutant.name)
        if as_json:
            verdicts = {layer.value: asdict(found) for layer, found in row.items()}
            found = {
                "mutant": mutant.name,
                "what": mutant.what,
                "pitfall": mutant.pitfall,
                "part": mutant.part.value,
                "layers": verdicts,
                "seconds": round(seconds, 1),
            }
            print(json.dumps(found), flush=True)
        else:
            cells = [_cell(layer, row.get(layer)) for layer in layers]
            print(_line(mutant.name, *cells, ", ".join(killers) or "nothing"), flush=True)
    return survivors


def _cell(layer: Layer, found: Verdict | None) -> str:
    if found is None:
        return NOT_ASKED
    if not found.killed:
        return SURVIVED
    return str(found.seeds or "∞") if layer is Layer.SIMULATION else "killed"


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
