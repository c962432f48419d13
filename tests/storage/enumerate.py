"""``python -m tests.storage.enumerate --operations 3 --json``: how many states were tried, and held.

Ends with status 1 and the broken rule at the first one that did not. Works through the workloads in
``--jobs`` processes; the counts do not depend on how many.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from functools import partial
from multiprocessing import get_context

from tests.storage.enumeration import Counts, Start, enumerate_workload, workloads


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.storage.enumerate", description=__doc__)
    parser.add_argument("--operations", type=int, default=2, help="the longest workload; default 2")
    parser.add_argument(
        "--thorough", action="store_true", help="cut recoveries at every byte, flip every bit"
    )
    parser.add_argument("--jobs", type=int, default=1, help="processes; default 1")
    parser.add_argument("--json", action="store_true", help="one line of JSON")
    options = parser.parse_args(arguments)
    wanted = [workload for start in Start for workload in workloads(start, options.operations)]
    work = partial(enumerate_workload, thorough=options.thorough)
    counts = Counts()
    try:
        if options.jobs > 1:
            with ProcessPoolExecutor(options.jobs, get_context("spawn")) as pool:
                for one in pool.map(work, wanted, chunksize=4):
                    counts.add(one)
        else:
            for workload in wanted:
                counts.add(work(workload))
    except Exception:
        traceback.print_exc()
        return 1
    if options.json:
        print(json.dumps(asdict(counts)))
    else:
        for name, number in asdict(counts).items():
            print(f"{name.replace('_', ' '):32}{number:>14,}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
