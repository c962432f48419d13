"""Changes the members of a simulated cluster at random, as an operator would: over the control socket of
whoever leads, and with no more care than the nodes themselves enforce."""

from __future__ import annotations

import random
from collections.abc import Callable

from raftkv.sim.world import World

REINSTALL_SHARE = 0.7
"""Of nodes added that begin on an empty folder, as they should; the others still have what they had."""


class Operator:
    def __init__(self, world: World, rng: random.Random) -> None:
        self._world = world
        self._rng = rng

    def change(self, leader: str) -> Callable[[], object] | None:
        """Something that the leader may refuse; None when there is nothing to be done."""
        world, rng = self._world, self._rng
        known = world.machines[leader].node.raft.raft.configuration
        lost = [name for name in known.names if name in world.wiped]
        if lost:
            # Whoever loses a disk replaces it first, or the next loss costs the quorum.
            world.control(leader, "change_members", change="remove", name=lost[0])
            return _nothing
        followed = world.watcher.in_force(world.machines.values())
        strangers = [name for name in world.names if not any(name in each.names for each in followed)]
        kind = rng.choice(("add", "promote", "promote", "remove", "replace"))
        if kind == "add" and strangers:
            self._add(leader, rng.choice(strangers))
        elif kind == "promote" and known.learners:
            world.control(leader, "change_members", change="promote", name=rng.choice(known.learners))
        elif kind == "remove":
            world.control(leader, "change_members", change="remove", name=rng.choice(known.names))
        elif kind == "replace" and known.learners:
            old, new = rng.choice(known.voters), rng.choice(known.learners)
            world.control(leader, "change_members", change="replace", name=old, new=new)
        else:
            return None
        return _nothing

    def _add(self, leader: str, name: str) -> None:
        """One that was a member before comes back on an empty folder, or as it was."""
        world = self._world
        if self._rng.random() < REINSTALL_SHARE:
            world.wipe(name)
        world.wiped.discard(name)
        address = list(world.config.node(name).endpoints())
        world.control(leader, "change_members", change="add", name=name, address=address)
        world.start(name)


def _nothing() -> None:
    """There is nothing to undo."""
