"""scenario: guided stories on a real cluster, which check themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from raftkv.cli.endings import told_to_end
from raftkv.cli.options import DEFAULT_TIMEOUT, Config, Endpoints, find_whole_cluster
from raftkv.cli.output import Exit, emit, emit_json, fail, flush, note
from raftkv.errors import ConfigError, Left, ScenarioFailed, counted

if TYPE_CHECKING:
    from raftkv.cluster.discovery import Target
    from raftkv.cluster.scenarios import Scenario


def register(app: typer.Typer) -> None:
    app.command()(scenario)


def scenario(
    name: Annotated[
        str | None,
        typer.Argument(metavar="[NAME]", help="Which one [default: list them]", show_default=False),
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Play all of them, one after the other.")] = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Annotated[
        Path | None, typer.Option("--data", metavar="DIR", help="Folder of a cluster started by 'up'.")
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print nothing but the result.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print a JSON object an event.")] = False,
) -> None:
    """Play a guided scenario. It breaks a real cluster and checks what comes of it.

    It is played on a fresh cluster of its own, or on the running one that --data, --config or --endpoints
    name; that one is broken for a few seconds, and mended at the end whatever happens. Exits with 1 when
    something else is found than must be.
    """
    from raftkv.cluster.scenarios import SCENARIOS

    if name is None and not everything:
        _list(SCENARIOS, json)
        return
    if name is not None and everything:
        raise ConfigError("--all plays every scenario; leave out its name")
    chosen = [each for each in SCENARIOS if everything or each.name == name]
    if not chosen:
        raise ConfigError(f"no scenario named {name!r}; 'raftkv scenario' lists them")
    with _ended_once() as ended, _cluster(chosen, endpoints, config, data) as target:
        failures = sum(not _play(each, target, quiet, json, ended, everything) for each in chosen)
    if everything and not json:
        emit(f"{len(chosen) - failures} of {len(chosen)} passed")
    if failures:
        raise typer.Exit(Exit.NO)


def _list(scenarios: Sequence[Scenario], json: bool) -> None:
    if json:
        fields = ("name", "title", "section", "summary", "nodes")
        emit_json({"scenarios": [{field: getattr(each, field) for field in fields} for each in scenarios]})
        return
    widths = [max(len(getattr(each, field)) for each in scenarios) for field in ("name", "section")]
    for each in scenarios:
        emit(f"{each.name:<{widths[0]}}  {each.section:<{widths[1]}}  {each.title}")


@contextmanager
def _cluster(
    chosen: Sequence[Scenario], endpoints: str | None, config: Path | None, data: Path | None
) -> Iterator[Target]:
    if endpoints is not None or config is not None or data is not None:
        yield find_whole_cluster(endpoints, config, data, DEFAULT_TIMEOUT)
        return
    from raftkv.cluster.scenarios.own import own_cluster

    nodes = max(each.nodes for each in chosen)
    note(f"starting a cluster of {counted(nodes, 'node')}")
    with own_cluster(nodes) as target:
        yield target


@contextmanager
def _ended_once() -> Iterator[list[int]]:
    """Signals that have asked for an end. The scenario hears of it where it waits, and mends what it broke;
    nothing may interrupt that."""
    ended: list[int] = []
    with told_to_end(ended.append):
        yield ended


def _play(scenario: Scenario, target: Target, quiet: bool, json: bool, ended: list[int], go_on: bool) -> bool:
    """Whether it passed. ``go_on``: also when it cannot be played on this cluster. Raises
    ``KeyboardInterrupt`` when it was ended."""
    from raftkv.cluster.scenarios import play

    teller = _Events(scenario) if json else _Lines(scenario, quiet)
    begun = time.monotonic()
    teller.begin()
    failure: ScenarioFailed | None = None
    try:
        play(scenario, target, teller, lambda: bool(ended))
    except ScenarioFailed as error:
        failure = error
    except ConfigError as error:
        if not go_on:
            raise
        failure = ScenarioFailed("it can be played on this cluster", str(error))
    except Left:
        raise KeyboardInterrupt from None
    teller.end(time.monotonic() - begun, failure)
    flush()
    return failure is None


class _Lines:
    """Plain lines, for people."""

    def __init__(self, scenario: Scenario, quiet: bool) -> None:
        self._scenario = scenario
        self._quiet = quiet
        self._checks = 0

    def begin(self) -> None:
        self._tell(f"{self._scenario.title} ({self._scenario.section})")
        self._tell(f"  {self._scenario.summary}")

    def say(self, text: str) -> None:
        self._tell(f"  {text}")

    def command(self, text: str) -> None:
        self._tell(f"    $ {text}")

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        self._tell(f"  ? {question}")
        for position, choice in enumerate(choices):
            self._tell(f"    {'→' if position == right else ' '} {choice}")
        self._tell(f"    {why[:1].upper()}{why[1:]}.")

    def checked(self, what: str, found: str) -> None:
        self._checks += 1
        self._tell(f"  ✓ {what}: {found}")

    def end(self, seconds: float, failure: ScenarioFailed | None) -> None:
        if failure:
            self._tell(f"  ✗ {failure.what}: found {failure.found}")
            emit(f"{self._scenario.name}: failed")
            fail(f"scenario {self._scenario.name}: {failure}")
        else:
            emit(f"{self._scenario.name}: passed, {self._checks} checks, {seconds:.1f} s")
        self._tell("")

    def _tell(self, text: str) -> None:
        if not self._quiet:
            emit(text)
            flush()


class _Events:
    """A JSON object an event."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._checks = 0

    def begin(self) -> None:
        self._tell("begin", title=self._scenario.title, section=self._scenario.section)

    def say(self, text: str) -> None:
        self._tell("say", text=text)

    def command(self, text: str) -> None:
        self._tell("command", text=text)

    def ask(self, question: str, choices: tuple[str, ...], right: int, why: str) -> None:
        self._tell("ask", question=question, choices=choices, right=right, why=why)

    def checked(self, what: str, found: str) -> None:
        self._checks += 1
        self._tell("checked", what=what, found=found)

    def end(self, seconds: float, failure: ScenarioFailed | None) -> None:
        told: dict[str, Any] = {
            "passed": failure is None,
            "checks": self._checks,
            "seconds": round(seconds, 3),
        }
        if failure:
            told |= {"what": failure.what, "found": failure.found}
        self._tell("end", **told)

    def _tell(self, event: str, **fields: Any) -> None:
        emit_json({"scenario": self._scenario.name, "event": event, **fields})
