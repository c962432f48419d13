"""``python -m tests.fuzz.run_atheris [TARGET…] [--seconds 60]``: coverage-guided fuzzing of every decoder.

Each target runs in a process of its own, as the fuzzer ends its process when its time is up or when it
has found something. What it found is printed with a command that does it again, for which atheris is
not needed. Ends with status 1 if anything was found, 2 if atheris is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

INPUT_BYTES_MAX = 8192
"""Longer inputs are no better, only slower; the longest seed is half of this."""
INPUT_SECONDS_MAX = 20
MEMORY_MIB_MAX = 2048
"""Beyond these an input counts as found: what hangs, or takes memory as it likes."""
END_SECONDS = 120
"""For a fuzzer to start, instrument and end, besides its time."""

_EXECUTIONS = re.compile(r"^(?:stat::number_of_executed_units:|Done) +(\d+)", re.MULTILINE)
_COVERAGE = re.compile(r"cov: (\d+)")


def main(arguments: Sequence[str] | None = None) -> int:
    options = _parse(arguments)
    if options.reproduce is not None:
        _target(_single(options.targets))(bytes.fromhex(options.reproduce))
        print("nothing wrong with this input")
        return 0
    if importlib.util.find_spec("atheris") is None:
        print("atheris is not installed: pip install -e '.[fuzz]'", file=sys.stderr)
        return 2
    if options.work:
        return _fuzz(_single(options.targets), options.seconds, Path(options.work))
    found = [name for name in options.targets or _names() if not _run(name, options.seconds)]
    print(f"found something in: {', '.join(found)}" if found else "found nothing")
    return 1 if found else 0


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz.run_atheris", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="default: all, one after the other")
    parser.add_argument("--seconds", type=int, default=60, help="for each target; default 60")
    parser.add_argument("--reproduce", metavar="HEX", help="run one target on this input and nothing else")
    parser.add_argument("--work", metavar="FOLDER", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = set(options.targets) - set(_names())
    if unknown:
        parser.error(f"no target named {', '.join(sorted(unknown))}; there are {', '.join(_names())}")
    if options.reproduce is not None and len(options.targets) != 1:
        parser.error("--reproduce takes one target")
    return options


def _single(targets: Sequence[str]) -> str:
    (name,) = targets
    return name


def _names() -> list[str]:
    """From a process of its own: what this one has imported could not be instrumented any more."""
    code = "from tests.fuzz.targets import TARGETS; print(*TARGETS)"
    command = [sys.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()


def _target(name: str) -> Callable[[bytes], None]:
    from tests.fuzz.targets import TARGETS

    return TARGETS[name]


# -- the process of one target


def _fuzz(name: str, seconds: int, work: Path) -> int:
    """Never returns: the fuzzer ends the process."""
    import atheris  # type: ignore[import-not-found, import-untyped, unused-ignore]  # ships no types

    # Not the simulator nor the checks of the protocol: they are no targets, and take most of the time.
    with atheris.instrument_imports(include=["raftkv"], exclude=["raftkv.sim", "raftkv.raft.invariants"]):
        target = _target(name)
    corpus = work / "corpus"
    corpus.mkdir()
    for number, seed in enumerate(_seeds(name)):
        (corpus / f"seed-{number}").write_bytes(seed)
    flags = {
        "max_total_time": seconds,
        "max_len": INPUT_BYTES_MAX,
        "timeout": INPUT_SECONDS_MAX,
        "rss_limit_mb": MEMORY_MIB_MAX,
        "artifact_prefix": f"{work}/found-",
        "print_final_stats": 1,
    }
    atheris.Setup([name, *(f"-{flag}={value}" for flag, value in flags.items()), str(corpus)], target)
    atheris.Fuzz()
    return 0


def _seeds(name: str) -> list[bytes]:
    from tests.fuzz.seeds import seeds

    return seeds()[name]


# -- the process that starts them


def _run(name: str, seconds: int) -> bool:
    """Whether the target withstood. Prints how much was tried, and what was found."""
    with tempfile.TemporaryDirectory(prefix=f"fuzz-{name}-") as folder:
        command = [sys.executable, "-m", "tests.fuzz.run_atheris", name]
        command += ["--seconds", str(seconds), "--work", folder]
        try:
            done = subprocess.run(
                command,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                timeout=seconds + END_SECONDS,
                check=False,
            )
            code, output = done.returncode, done.stdout.decode("utf-8", "replace")
        except subprocess.TimeoutExpired as hung:
            code, output = 1, (hung.stdout or b"").decode("utf-8", "replace") + "\nended: it hangs"
        found = sorted(Path(folder).glob("found-*"))
        executions, coverage = _EXECUTIONS.findall(output), _COVERAGE.findall(output)
        print(f"{name}: {_last(executions)} executions, coverage {_last(coverage)}", flush=True)
        if code == 0 and not found:
            return True
        print(_traceback(output))
        for file in found:
            kind = file.name.removeprefix("found-").partition("-")[0]
            content = file.read_bytes().hex()
            print(f"{name}: {kind} by {content}")
            print(f"  python -m tests.fuzz.run_atheris {name} --reproduce {content!r}", flush=True)
        return False


def _last(numbers: Sequence[str]) -> str:
    return f"{int(numbers[-1]):,}" if numbers else "unknown"


def _traceback(output: str) -> str:
    """What Python said; if it did not come to that, the fuzzer's last words."""
    _, marker, text = output.partition("=== Uncaught Python exception: ===")
    return text.partition("==")[0].strip() if marker else output[-2000:]


if __name__ == "__main__":
    sys.exit(main())
