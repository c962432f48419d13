"""The long run behind ``docs/reliability.md``: every layer of the tests for as long as it takes.

    python -m benchmarks.soak --seeds 5000 --torture-seconds 600 --json soak.json

Each part is a command that can be run by itself; its figures come from its own ``--json``. A part that
fails is told at once, the others still run, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RAFTKV = [sys.executable, "-m", "raftkv"]


@dataclass(frozen=True)
class Part:
    name: str
    command: list[str]
    tell: Callable[[dict[str, Any]], list[str]]
    """Its figures as rows of a table."""


def parts(seeds: int, torture_seconds: float, operations: int) -> list[Part]:
    def torture(nodes: int) -> Part:
        command = [*RAFTKV, "torture", "--nodes", str(nodes), "--seconds", str(torture_seconds)]
        return Part(f"torture of {nodes} nodes", [*command, "--keys", "100", "--json"], tell_torture)

    return [
        Part("simulation", [*RAFTKV, "sim", "--seeds", str(seeds), "--json"], tell_simulation),
        Part(
            "crash enumeration",
            [sys.executable, "-m", "tests.storage.enumerate", "--operations", str(operations), "--json"],
            tell_counts,
        ),
        torture(3),
        torture(5),
        Part("mutants", [sys.executable, "-m", "tests.mutants", "--json"], tell_mutants),
    ]


def tell_simulation(found: dict[str, Any]) -> list[str]:
    counts = found["operations"]
    faults = ", ".join(f"{kind} {count:,}" for kind, count in found["faults"].items())
    return [
        f"seeds | {found['seeds']:,}, {len(found['failed'])} failed",
        f"simulated time | {found['virtual_seconds'] / 3600:.1f} hours, {found['steps']:,} steps",
        f"entries committed, elections | {found['committed']:,}, {found['elections']:,}",
        f"requests checked | {counts['ok']:,} ok, {counts['fail']:,} failed, {counts['unknown']:,} unknown",
        f"faults | {faults}",
    ]


def tell_torture(found: dict[str, Any]) -> list[str]:
    counts = found["operations"]
    return [
        f"verdict | {found['verdict']['verdict']}, {len(found['problems'])} problems, seed {found['seed']}",
        f"operations | {counts['ok']:,} ok, {counts['fail']:,} failed, {counts['unknown']:,} unknown",
        f"faults | {', '.join(f'{kind} {count:,}' for kind, count in found['faults'].items())}",
        f"elections | {found['elections']:,}",
        f"longest time without a successful write | {found['longest_seconds_without_write']:.1f} s",
        f"states compared at equal applied index | {found['digests_compared']:,}",
        f"snapshots seen | {found['snapshots_seen']:,}",
    ]


def tell_counts(found: dict[str, Any]) -> list[str]:
    return [f"{name.replace('_', ' ')} | {count:,}" for name, count in found.items() if type(count) is int]


def tell_mutants(found: dict[str, Any]) -> list[str]:
    layers = [mutant["layers"] for mutant in found["lines"]]
    killers = Counter(name for row in layers for name, verdict in row.items() if verdict["killed"])
    killed = sum(any(verdict["killed"] for verdict in row.values()) for row in layers)
    by_layer = ", ".join(f"{name} {count}" for name, count in killers.most_common())
    return [f"mutants killed | {killed} of {len(layers)}", f"by layer | {by_layer}"]


def run(part: Part) -> tuple[bool, dict[str, Any]]:
    print(f"\n### {part.name}\n\n`{' '.join(Path(word).name for word in part.command)}`\n", flush=True)
    begun = time.monotonic()
    done = subprocess.run(part.command, stdout=subprocess.PIPE, text=True, check=False)
    try:
        documents = [json.loads(line) for line in done.stdout.splitlines()]
        found: dict[str, Any] = documents[0] if len(documents) == 1 else {"lines": documents}
    except json.JSONDecodeError:
        documents = []
    if not documents:
        print(f"FAILED with exit code {done.returncode} and no figures", flush=True)
        return False, {}
    print("| | |\n|---|---|")
    for row in [*part.tell(found), f"time | {time.monotonic() - begun:,.0f} s"]:
        print(f"| {row} |")
    if done.returncode:
        print(f"\nFAILED with exit code {done.returncode}", flush=True)
    return done.returncode == 0, found


def main() -> int:
    parser = argparse.ArgumentParser(description="The long run behind docs/reliability.md.")
    parser.add_argument("--seeds", type=int, default=5000, help="of the simulator")
    parser.add_argument("--torture-seconds", type=float, default=600, help="on 3 and on 5 nodes")
    parser.add_argument("--operations", type=int, default=3, help="of each enumerated workload")
    parser.add_argument("--json", type=Path, help="write all figures here")
    args = parser.parse_args()
    results: dict[str, Any] = {}
    held = True
    for part in parts(args.seeds, args.torture_seconds, args.operations):
        passed, results[part.name] = run(part)
        held = held and passed
        if args.json:  # after each part: the next may take an hour
            args.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0 if held else 1


if __name__ == "__main__":
    raise SystemExit(main())
