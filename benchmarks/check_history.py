"""How fast ``raftkv check`` decides: a history of 100,000 operations, linearizable by construction.

    python -m benchmarks.check_history --operations 100000 --keys 50 --clients 50

Prints one JSON document a mix of operations: the seconds to read the file, those to decide, the steps.
"""

from __future__ import annotations

import argparse
import json
import resource
import time

from raftkv.history import Op, check_history, read_history, to_json_line
from tests.history.generating import MIX, Shape, generate

MIXES = {
    "mixed": MIX,
    "put/get": ((Op.GET, 50), (Op.PUT, 50)),
    "append": ((Op.GET, 50), (Op.APPEND, 45), (Op.PUT, 5)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--operations", type=int, default=100_000)
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--unknown-share", type=float, default=0.01)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--budget", type=float, default=60.0)
    options = parser.parse_args()
    for name, mix in MIXES.items():
        shape = Shape(
            operations=options.operations,
            keys=options.keys,
            clients=options.clients,
            mix=mix,
            unknown_share=options.unknown_share,
        )
        lines = [to_json_line(operation) for operation in generate(shape, options.seed)]
        begin = time.perf_counter()
        operations = read_history(lines, name)
        read = time.perf_counter()
        verdict = check_history(operations, budget_seconds=options.budget, clock=time.monotonic)
        end = time.perf_counter()
        document = {
            "mix": name,
            "operations": options.operations,
            "keys": options.keys,
            "clients": options.clients,
            "unknown_share": options.unknown_share,
            "verdict": verdict.outcome.value,
            "read_seconds": round(read - begin, 2),
            "check_seconds": round(end - read, 2),
            "steps": verdict.steps,
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        print(json.dumps(document), flush=True)


if __name__ == "__main__":
    main()
