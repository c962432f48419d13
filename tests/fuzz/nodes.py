"""A whole cluster in a virtual world, one of whose ports is fed with frames from strangers.

What may come of it: nothing. No turn raises, no invariant breaks, and afterwards a client's write
succeeds. An operator's frame may do what operators may (stop a node, break its disk): that is undone
before the write.

A well-formed frame in the name of a node is left out unless it only forwards commands: whoever can
forge those is a byzantine node, which Raft does not claim to withstand.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

from raftkv.actors.system import ActorName
from raftkv.client.calls import Call
from raftkv.errors import WireError
from raftkv.kv.commands import Code, Op
from raftkv.raft import Entry
from raftkv.sim.twin import Twin
from raftkv.sim.world import World, WorldOptions
from raftkv.wire import peer
from raftkv.wire.peer import Forward

STRANGER = b"stranger"
ELECTION_SECONDS = 10.0
DIGEST_SECONDS = 0.2
"""For a turn or two, and for what was written to be applied everywhere."""
SERVE_SECONDS = 100.0
"""A disk that was made slow may hold one write for a minute, and nobody can take that back."""


class _AnyCommands(Twin):
    """The world's second state machine knows the commands of honest clients only. That all nodes come
    to the same state with any others is checked by their digests."""

    def apply(self, entry: Entry) -> None:
        self.applied = entry.index


def feed(port: ActorName, frames: Iterable[list[bytes]]) -> None:
    """Let the leader and a follower receive ``frames``, all parts of a message as they are given."""
    world = World(WorldOptions())
    world.watcher.twin = _AnyCommands()
    for name in world.names:
        world.start(name)
    world.run_until(world.leader, ELECTION_SECONDS)
    leader = world.leader()
    assert leader, "no election in peace"
    follower = next(name for name in world.names if name != leader)
    for parts in frames:
        for name in (leader, follower):
            if name in world.machines and (port != "peers" or not is_believed(world, name, parts)):
                world.machines[name].arrive(port, list(parts))
    world.run(DIGEST_SECONDS)
    _undo(world)
    _expect_service(world)


def is_believed(world: World, name: str, parts: list[bytes]) -> bool:
    """Whether node ``name`` would take a message in it for one of a peer."""
    try:
        frame = peer.decode(parts[-1])
    except WireError:
        return False
    # Of any sender: one that this node does not know may have joined while it was away.
    known = frame.cluster == world.config.name and frame.to == name
    return known and any(not isinstance(item, Forward) for item in frame.items)


def _undo(world: World) -> None:
    for name in world.names:
        world.control(name, "heal")
    world.run(DIGEST_SECONDS)
    for name in world.names:
        world.start(name)


def _expect_service(world: World) -> None:
    client = world.client("client")
    done: list[Call] = []
    deadline = world.now + SERVE_SECONDS
    client.submit(Call((Op.PUT, b"still", b"here"), deadline, done.append, client.core.new_session()))
    world.run_until(partial(bool, done), SERVE_SECONDS)
    assert done, "the client's call has no end"
    assert done[0].response is not None, f"the cluster serves no more: {done[0].error}"
    assert done[0].response.code == Code.OK
