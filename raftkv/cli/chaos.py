"""chaos: breaking a running cluster, and mending it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from raftkv.cli.options import (
    DEFAULT_TIMEOUT,
    Config,
    Data,
    Endpoints,
    Timeout,
    find_whole_cluster,
    launcher_seconds,
)
from raftkv.cli.output import note
from raftkv.errors import ConfigError, OutcomeUnknown

if TYPE_CHECKING:
    from pathlib import Path

    from raftkv.cluster.chaos import Chaos

Node = Annotated[str, typer.Argument(metavar="NODE", help="A node's name.", show_default=False)]
MaybeNode = Annotated[str | None, typer.Argument(metavar="[NODE]", help="A node's name.", show_default=False)]
Leader = Annotated[bool, typer.Option("--leader", help="Whoever leads now; leave out NODE.")]
Lifetime = Annotated[
    float | None,
    typer.Option("--for", metavar="SECONDS", help="End by itself after this long [default: until healed]"),
]
Outage = Annotated[
    float | None,
    typer.Option("--for", metavar="SECONDS", help="Bring it back after this long [default: by hand]"),
]

SECONDS_MAX = 24 * 3600.0
DELAY_MS_MAX = 60_000.0
CLOCK_RATE_MIN, CLOCK_RATE_MAX = 0.1, 10.0
"""All as nodes accept them."""


def register(app: typer.Typer) -> None:
    group = typer.Typer(
        help="Break a running cluster, and mend it. The same verbs as the dashboard's keys.",
        no_args_is_help=True,
        rich_markup_mode=None,
    )
    group.command()(kill)
    group.command()(stop)
    group.command()(restart)
    group.command()(pause)
    group.command()(resume)
    group.command()(partition)
    group.command()(isolate)
    group.command()(bridge)
    group.command()(ring)
    group.command()(link)
    group.command()(disk)
    group.command()(clock)
    group.command()(campaign)
    group.command()(heal)
    app.add_typer(group, name="chaos")


@contextmanager
def _chaos(endpoints: str | None, config: Path | None, data: Path | None, timeout: float) -> Iterator[Chaos]:
    from raftkv.cluster.chaos import NODE_SECONDS, Chaos

    target = find_whole_cluster(endpoints, config, data, timeout)
    chaos = Chaos(target, min(NODE_SECONDS, timeout), note, launcher_seconds(timeout))
    try:
        yield chaos
    finally:
        chaos.close()


def kill(
    name: MaybeNode = None,
    leader: Leader = False,
    seconds: Outage = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """End a node's process with SIGKILL."""
    _check_whom(name, leader)
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        name = name or chaos.leader()
        chaos.kill(name, seconds)
    note(f"killed {name}{_lasting(seconds)}")


def stop(
    name: MaybeNode = None,
    leader: Leader = False,
    seconds: Outage = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """End a node's process with SIGTERM."""
    _check_whom(name, leader)
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        name = name or chaos.leader()
        chaos.stop(name, seconds)
    note(f"stopped {name}{_lasting(seconds)}")


def restart(
    name: Node,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Start a node that has ended, or end and start one that runs. Exit 2 when it ends again at once."""
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.restart(name)
        chaos.await_start(name, timeout)
    note(f"restarted {name}")


def pause(
    name: MaybeNode = None,
    leader: Leader = False,
    seconds: Outage = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Stop a node's process in its tracks (SIGSTOP)."""
    _check_whom(name, leader)
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        name = name or chaos.leader()
        chaos.pause(name, seconds)
    note(f"paused {name}{_lasting(seconds)}")


def resume(
    name: Node,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Let a paused node go on (SIGCONT)."""
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.resume(name)
    note(f"resumed {name}")


def partition(
    groups: Annotated[
        list[str], typer.Argument(metavar="GROUP…", help="Names with commas: n1,n2 n3", show_default=False)
    ],
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Block all links between the groups. Nodes named in none form one more.

    What is cut already stays cut: 'chaos heal' before makes this the only partition.
    """
    _check_lifetime(seconds)
    sides = [[name.strip() for name in group.split(",")] for group in groups]
    for group, names in zip(groups, sides, strict=True):
        if not all(names):
            raise ConfigError(f"group {group!r} lacks a name between its commas")
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.partition(sides, seconds)
    _conclude(chaos, f"partitioned{_ending(seconds)}")


def isolate(
    name: MaybeNode = None,
    leader: Leader = False,
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Block all links from and to a node."""
    _check_whom(name, leader)
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        name = name or chaos.leader()
        chaos.isolate(name, seconds)
    _conclude(chaos, f"isolated {name}{_ending(seconds)}")


def bridge(
    name: Node,
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Cut the others into two halves, both of which NODE hears."""
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.bridge(name, seconds)
    _conclude(chaos, f"only {name} hears everybody{_ending(seconds)}")


def ring(
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Leave each node the links to its two neighbours alone. Takes four nodes or more."""
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.ring(seconds)
    _conclude(chaos, f"each node hears its two neighbours only{_ending(seconds)}")


def link(
    sender: Annotated[str, typer.Argument(metavar="A", help="From this node…", show_default=False)],
    to: Annotated[str, typer.Argument(metavar="B", help="…to this one.", show_default=False)],
    block: Annotated[bool, typer.Option("--block", help="Let nothing through.")] = False,
    drop: Annotated[float, typer.Option(metavar="P", help="Lose frames with this probability.")] = 0.0,
    delay: Annotated[float, typer.Option(metavar="MS", help="Delay every frame.")] = 0.0,
    jitter: Annotated[float, typer.Option(metavar="MS", help="Vary the delay by up to this.")] = 0.0,
    duplicate: Annotated[float, typer.Option(metavar="P", help="Send frames twice, so often.")] = 0.0,
    reorder: Annotated[
        float, typer.Option(metavar="P", help="Hold frames back, so often, until later ones have passed.")
    ] = 0.0,
    one_way: Annotated[bool, typer.Option("--one-way", help="Only from A to B.")] = False,
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Set the fault of the link between A and B. It replaces the one it had; no fault heals it."""
    from raftkv.observe import LinkFault

    for option, share in (("drop", drop), ("duplicate", duplicate), ("reorder", reorder)):
        if not 0 <= share <= 1:
            raise ConfigError(f"--{option} {share:g}: expected a probability from 0 to 1")
    if not (0 <= delay <= DELAY_MS_MAX and 0 <= jitter <= DELAY_MS_MAX):
        raise ConfigError(f"--delay and --jitter: expected milliseconds from 0 to {DELAY_MS_MAX:g}")
    if jitter and not delay:
        raise ConfigError("--jitter varies a delay; give --delay too")
    _check_lifetime(seconds)
    fault = LinkFault(block, drop, delay, jitter, duplicate, reorder)
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.link(sender, to, fault, seconds, both_ways=not one_way)
    way = f"{sender} {'→' if one_way else '↔'} {to}"
    healed = fault == LinkFault()
    _conclude(chaos, f"healed the link {way}" if healed else f"set the link {way}{_ending(seconds)}")


def campaign(
    name: Node,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Let a node's election timer run out now."""
    with _chaos(endpoints, config, data, timeout) as chaos:
        chaos.campaign(name)
    note(f"{name} campaigns")


def disk(
    name: MaybeNode = None,
    leader: Leader = False,
    slow: Annotated[float, typer.Option(metavar="MS", help="Every write takes so much longer.")] = 0.0,
    full: Annotated[bool, typer.Option("--full", help="There is no space left.")] = False,
    fail: Annotated[bool, typer.Option("--fail", help="The next write fails, which ends the node.")] = False,
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Make a node's disk slow, full or broken; no option heals it."""
    from raftkv.observe import DiskFault

    _check_whom(name, leader)
    if not 0 <= slow <= DELAY_MS_MAX:
        raise ConfigError(f"--slow {slow:g}: expected milliseconds from 0 to {DELAY_MS_MAX:g}")
    if sum((bool(slow), full, fail)) > 1:
        raise ConfigError("a disk is one of slow, full and broken: give one of --slow, --full and --fail")
    _check_lifetime(seconds)
    fault = DiskFault(slow, full, fail)
    with _chaos(endpoints, config, data, timeout) as chaos:
        name = name or chaos.leader()
        chaos.disk(name, fault, seconds)
    what = "fails" if fail else "is full" if full else f"is slower by {slow:g} ms" if slow else "is healed"
    lasting = _lasting(None if fault == DiskFault() else seconds)
    # No lifetime brings the node back.
    after = (
        f"; its next write ends the node, and 'raftkv chaos restart {name}' starts it again" if fail else ""
    )
    note(f"the disk of {name} {what}{lasting}{after}")


def clock(
    rate: Annotated[float, typer.Option(metavar="R", help="1 is true; 1.1 runs a tenth too fast.")],
    name: MaybeNode = None,
    leader: Leader = False,
    seconds: Lifetime = None,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Make a node's clock run too fast or too slow."""
    _check_whom(name, leader)
    if not CLOCK_RATE_MIN <= rate <= CLOCK_RATE_MAX:
        raise ConfigError(f"--rate {rate:g}: expected {CLOCK_RATE_MIN:g} to {CLOCK_RATE_MAX:g}")
    _check_lifetime(seconds)
    with _chaos(endpoints, config, data, timeout) as chaos:
        name = name or chaos.leader()
        chaos.clock(name, rate, seconds)
    note(
        f"the clock of {name} runs at {rate:g} times the true rate{_lasting(None if rate == 1 else seconds)}"
    )


def heal(
    everything: Annotated[
        bool, typer.Option("--all", help="Also resume every paused node and restart every ended one.")
    ] = False,
    endpoints: Endpoints = None,
    config: Config = None,
    data: Data = None,
    timeout: Timeout = DEFAULT_TIMEOUT,
) -> None:
    """Remove every fault of links, disks and clocks."""
    with _chaos(endpoints, config, data, timeout) as chaos:
        mended = chaos.heal_all() if everything else chaos.heal()
    if mended.unheard:
        raise OutcomeUnknown(
            f"no answer from {', '.join(mended.unheard)}: what is broken there may still be; "
            "all else is healed"
        )
    note("healed")


def _conclude(chaos: Chaos, done: str) -> None:
    """Links were changed. Raises ``OutcomeUnknown`` where a node that runs has not heard of it."""
    if chaos.unheard:
        named = " and ".join(chaos.unheard)
        raise OutcomeUnknown(f"{done}; but {named} did not answer, and may send as before")
    note(done)


def _check_whom(name: str | None, leader: bool) -> None:
    if leader == (name is not None):
        raise ConfigError("give either NODE, or --leader for whoever leads")


def _check_lifetime(seconds: float | None) -> None:
    if seconds is not None and not 0 < seconds <= SECONDS_MAX:
        raise ConfigError(f"--for {seconds:g}: expected a number of seconds above 0, at most {SECONDS_MAX:g}")


def _lasting(seconds: float | None) -> str:
    return "" if seconds is None else f" for {seconds:g} s"


def _ending(seconds: float | None) -> str:
    return f" for {seconds:g} s" if seconds is not None else "; 'raftkv chaos heal' mends it"
