"""Members that come and go under torture. A change may fail half-way, as everything else is broken as well;
so each attempt begins by tidying up after the one before."""

from __future__ import annotations

from raftkv.cluster.control import ControlClient, snapshots
from raftkv.cluster.members import LocalNodes, Members, Row
from raftkv.cluster.process import EXIT_NO_MEMBER, EXIT_REMOVED
from raftkv.errors import RaftkvError, Unavailable

CHANGE_SECONDS = 4.0
"""For one change. The nemesis waits for it, and mends nothing meanwhile."""
LAUNCHER_SECONDS = 15.0
ANSWER_SECONDS = 1.0
GONE = (EXIT_NO_MEMBER, EXIT_REMOVED)


class Churn:
    def __init__(self, controls: dict[str, str], clients: list[str], launcher: str) -> None:
        """``controls`` (by node) and ``clients`` are kept as they are now: others look at them, too."""
        self._controls = controls
        self._clients = clients
        self._launcher = launcher

    def replace(self, node: str) -> str:
        """Another node in the place of ``node``; its name."""
        with ControlClient() as client:
            members, local = self._tools(client)
            rows = self._tidy(client, members, local)
            if node not in rows or rows[node].part != "voter":
                raise RaftkvError(f"{node} does not vote")
            learner = next((row.name for row in rows.values() if row.part == "learner"), None)
            if learner is None:
                learner, address = local.reserve(None)
                members.add(learner, address)
                local.start(learner, address)
                self._know(learner, address)
            members.replace(node, learner)
            local.drop(node)
            self._forget(node)
        return learner

    def tidy(self) -> None:
        """Nothing runs that has learnt that it is no member."""
        with ControlClient() as client:
            self._tidy(client, *self._tools(client))

    def settle(self) -> None:
        """Every member votes, and nobody else runs. Raises ``RaftkvError`` as long as that cannot be had."""
        with ControlClient() as client:
            members, local = self._tools(client)
            rows = self._tidy(client, members, local)
            for row in rows.values():
                if row.part == "learner":
                    members.promote(row.name)
            for name in self._controls.keys() - rows.keys():
                if not self._knows_it_has_left(client, name):
                    raise Unavailable(f"{name} is no member, and does not know it yet")
                local.drop(name)  # killed just when it had led the others to where it is none, and back again
                self._forget(name)

    def _knows_it_has_left(self, client: ControlClient, name: str) -> bool:
        view = snapshots(client, {name: self._controls[name]}, ANSWER_SECONDS)[name]
        return bool(
            view
            and view.members
            and view.configuration_committed
            and name not in {member.name for member in view.members}
        )

    def _tools(self, client: ControlClient) -> tuple[Members, LocalNodes]:
        return Members(client, self._controls, CHANGE_SECONDS), LocalNodes(client, self._launcher)

    def _tidy(self, client: ControlClient, members: Members, local: LocalNodes) -> dict[str, Row]:
        members.leader()  # whoever leads knows best; without a leader nothing can be done
        rows = {row.name: row for row in members.rows()}
        found = client.ask(self._launcher, "processes", LAUNCHER_SECONDS)
        for process in found:
            # Its own word, not only a leader's, which may be one of the past: its folder is set aside.
            if process["name"] not in rows and process["exit_code"] in GONE:
                local.drop(process["name"])
                self._forget(process["name"])
        running = {process["name"] for process in found}
        for name in rows.keys() - running:
            members.remove(name)  # added, and never started
            del rows[name]
        for name in self._controls.keys() - running - rows.keys():
            self._forget(name)  # it was told by the cluster that it has left, and the launcher has dropped it
        for row in rows.values():
            self._know(row.name, row.address)
        return rows

    def _know(self, name: str, address: tuple[str, ...]) -> None:
        _, client, control, _ = address
        self._controls[name] = control
        if client not in self._clients:
            self._clients.append(client)

    def _forget(self, name: str) -> None:
        """Its clients' endpoint stays: a user may well ask who is gone."""
        self._controls.pop(name, None)
