"""Configuration that many processes read, follow and change.

    python examples/config_service.py ENDPOINT… --set timeout=30 --set retries=3
    python examples/config_service.py ENDPOINT… --roll-back 7 --follow

Settings are keys under ``NAME/settings/``; every change also writes ``NAME/head``, whose revision is the
configuration's version. A change compares the head and not the settings: one that was deleted has no revision
that could tell that somebody was here.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass

import raftkv
from raftkv import txn
from raftkv.client import Entry, Event, WatchStream
from raftkv.errors import Compacted, RaftkvError


class ConflictError(Exception):
    """The configuration has been changed since it was read; nothing was done."""


@dataclass(frozen=True, slots=True)
class State:
    """``version`` is the revision of the last change (0: none), which it is up to ``read_at`` at least."""

    settings: Mapping[str, str]
    version: int
    read_at: int


class ConfigService:
    def __init__(self, client: raftkv.Client, name: str = "config") -> None:
        self._client = client
        self._prefix = f"{name}/"
        self._head = f"{name}/head"
        self._settings = f"{name}/settings/"

    def load(self, revision: int = 0) -> State:
        """All of it as of one revision, 0 being now. Raises ``Compacted`` for one that is forgotten."""
        revision = revision or self._client.revision()
        return self._after(State({}, 0, 0), self._client.prefix(self._prefix, revision=revision), revision)

    def publish(self, changes: Mapping[str, str | None], based_on: State) -> int:
        """Make all changes (None deletes) at once; the new version. Raises ``ConflictError`` if the
        configuration is no longer what ``based_on`` says."""
        steps = [txn.put(self._head, "")]
        for key, value in ((self._settings + name, value) for name, value in changes.items()):
            steps.append(txn.delete(key) if value is None else txn.put(key, value))
        done = self._client.txn([txn.mod_revision(self._head) == based_on.version], steps)
        if not done.succeeded:
            raise ConflictError(f"the configuration has changed since version {based_on.version}")
        return done.revision

    def roll_back(self, version: int) -> int:
        """Make the settings what they were; a new version. Raises ``ConflictError``, ``Compacted``."""
        now, then = self.load(), self.load(version).settings
        return self.publish({name: then.get(name) for name in {*now.settings, *then}}, now)

    def follow(self) -> Iterator[State]:
        """The present state, then one after each change, for ever. Never half a change."""
        while True:
            state = self.load()
            yield state
            # From where we have read, not from the version: that may be compacted though nothing is missed.
            stream = self._client.watch_prefix(self._prefix, revision=state.read_at + 1)
            with stream, suppress(Compacted):  # away for longer than the past is kept: begin anew
                for events in transactions(stream):
                    state = self._after(state, events, events[0].mod_revision)
                    yield state

    def _after(self, state: State, changes: Iterable[Entry | Event], read_at: int) -> State:
        settings, version = dict(state.settings), state.version
        for change in changes:
            name = change.key.decode().removeprefix(self._settings)
            if change.key.decode() == self._head:
                version = change.mod_revision
            elif change.version:
                settings[name] = change.value.decode()
            else:  # a deletion
                settings.pop(name, None)
        return State(settings, version, read_at)


def transactions(stream: WatchStream) -> Iterator[list[Event]]:
    """The events of one revision at a time. They arrive together, so none of them is waited for."""
    event = stream.get()
    while event:
        events = [event]
        while (event := stream.get(timeout=0)) and event.mod_revision == events[0].mod_revision:
            events.append(event)
        yield events
        event = event or stream.get()


def main() -> None:
    parser = argparse.ArgumentParser(description="Read, change, follow and roll back a configuration.")
    parser.add_argument("endpoints", nargs="+", metavar="ENDPOINT", help="tcp://host:port of a node")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="change a setting")
    parser.add_argument("--roll-back", type=int, metavar="VERSION", help="make it what it was")
    parser.add_argument("--follow", action="store_true", help="print every change until interrupted")
    arguments = parser.parse_args()
    with raftkv.Client(arguments.endpoints) as client, suppress(KeyboardInterrupt):
        service = ConfigService(client)
        if arguments.set:
            service.publish(dict(each.split("=", 1) for each in arguments.set), service.load())
        if arguments.roll_back is not None:
            service.roll_back(arguments.roll_back)
        for state in service.follow() if arguments.follow else [service.load()]:
            settings = sorted(f"{name}={value}" for name, value in state.settings.items())
            print(f"version {state.version}:", *settings, flush=True)


if __name__ == "__main__":
    try:
        main()
    except RaftkvError as error:
        raise SystemExit(str(error)) from None
