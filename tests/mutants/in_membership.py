"""Bugs in who belongs to the cluster: configurations, changes of them, identities, the beginning."""

from __future__ import annotations

from raftkv.actors.roster import Roster
from raftkv.raft import election, follower, membership, quorum
from raftkv.raft.configuration import Configuration, Configurations
from raftkv.raft.core import Raft
from raftkv.raft.founding import Founding
from raftkv.raft.leader import Leadership
from raftkv.raft.log import RaftLog
from raftkv.raft.snapshot import Snapshots
from tests.mutants.planting import Edit, Mutant, Part

_configuration = vars(Raft)["configuration"].fget


def _mutant(name: str, what: str, pitfall: str, *edits: Edit, part: Part = Part.RAFT) -> Mutant:
    return Mutant(name, what, pitfall, part, edits)


MUTANTS = (
    _mutant(
        "joint-without-the-old-majority",
        "while a change is under way entries commit by the new majority alone",
        "§6",
        Edit(quorum.reached_by_quorum, "if configuration.outgoing:", "if False:"),
    ),
    _mutant(
        "joint-election-by-the-new-alone",
        "while a change is under way leaders are elected by the new majority alone",
        "§6",
        Edit(quorum.tally, "if configuration.outgoing:", "if False:"),
    ),
    _mutant(
        "joint-read-by-the-new-alone",
        "while a change is under way reads and the check of the quorum count the new majority alone",
        "§6",
        Edit(quorum.is_quorum, "not configuration.outgoing or", "True or"),
    ),
    _mutant(
        "no-joint-configuration",
        "a node is replaced without a joint configuration in between",
        "§6",
        Edit(membership.request, "leadership.adopt(planned)", "leadership.adopt(planned.left())"),
    ),
    _mutant(
        "change-before-no-op",
        "a leader changes members before an entry of its term has committed",
        "23",
        Edit(membership.request, "if not log.matches(log.commit_index, raft.current_term):", "if False:"),
    ),
    _mutant(
        "two-changes-at-once",
        "a change begins while another is not committed",
        "23",
        Edit(membership.request, "if _under_way(raft):", "if False:"),
    ),
    _mutant(
        "joint-left-before-committed",
        "a leader ends the joint configuration before it is committed",
        "§6",
        Edit(membership.advance, "log.configurations.latest_index > log.commit_index or ", ""),
    ),
    _mutant(
        "joint-never-left-by-the-next-leader",
        "only the leader that began a change ends it",
        "24",
        Edit(
            membership.advance,
            "    if now.joint:",
            "    if now.joint and log.term_at(log.configurations.latest_index) == raft.current_term:",
        ),
    ),
    _mutant(
        "configuration-effective-at-commit-only",
        "a configuration counts once it is committed",
        "24",
        Edit(
            _configuration,
            "self.log.configurations.latest",
            "self.log.configurations.at(self.log.commit_index)[1]",
        ),
    ),
    _mutant(
        "configuration-survives-truncation",
        "a configuration stays in effect although its entry is gone",
        "25",
        Edit(Configurations.truncate, "self._indexes[-1] > last_index", "False"),
    ),
    _mutant(
        "configuration-lost-with-compaction",
        "the configuration goes with the entries before a snapshot",
        "25",
        Edit(
            Configurations.compact,
            "del self._configurations[:position]",
            "self._configurations[0] = self.founding",
        ),
    ),
    _mutant(
        "snapshot-without-configuration",
        "an installed snapshot says nothing about members",
        "25",
        Edit(Snapshots._install, "if mark.configuration else None", "if False else None"),
    ),
    _mutant(
        "restart-forgets-configurations",
        "a node that starts looks at no entry of its log for who the members are",
        "25",
        Edit(RaftLog.__init__, "    self._note_configurations(self.entries)\n", ""),
    ),
    _mutant(
        "follower-overlooks-configurations",
        "a follower appends a configuration and does not follow it",
        "24",
        Edit(RaftLog.overwrite, "    self._note_configurations(entries)\n", ""),
    ),
    _mutant(
        "book-outlives-its-folder",
        "what a folder acknowledged counts for another that was bound to its name",
        "27",
        Edit(Leadership.reopen, "if peer in self.progress:", "if False:"),
    ),
    _mutant(
        "book-not-checked",
        "an answer to an earlier book about a peer counts for the present one",
        "26",
        Edit(Leadership._heard, " or progress.book != message.book", ""),
    ),
    _mutant(
        "book-not-repeated",
        "a follower answers without saying to which book",
        "26",
        Edit(follower._accept, "book=message.book", "book=0"),
    ),
    _mutant(
        "removed-node-campaigns",
        "a node that is no voter campaigns",
        "18",
        Edit(election.campaign, "if not _may_lead(raft):", "if raft.founding.pending:"),
    ),
    _mutant(
        "removed-leader-leads-on",
        "a leader that was removed stays in office",
        "18",
        Edit(membership.advance, "elif raft.node_id not in now.voters:", "elif False:"),
    ),
    _mutant(
        "removed-leader-runs-on",
        "a leader that has committed its own removal waits for somebody to tell it",
        "18",
        Edit(membership._retire, "raft.retired = True", "raft.retired = False"),
    ),
    _mutant(
        "removed-leader-leaves-too-early",
        "a node that a configuration leaves out gives up before that is committed",
        "§6",
        Edit(election._may_lead, "return committed.votes(raft.node_id)", "return False"),
    ),
    _mutant(
        "leader-counts-itself-always",
        "a leader that is no voter any more counts its own copy",
        "§6",
        Edit(
            quorum._reached_by_majority,
            "[values.get(voter, 0) for voter in voters]",
            "list(values.values())",
        ),
    ),
    _mutant(
        "lagging-learner-promoted",
        "a learner votes before it has caught up",
        "§6",
        Edit(membership.request, "not _may_vote(raft, change)", "False"),
    ),
    _mutant(
        "unheard-learner-promoted",
        "a learner votes whose folder nobody has heard of",
        "27",
        Edit(membership._may_vote, "member.bound and ", ""),
    ),
    _mutant(
        "address-update-promotes",
        "a learner of which something is heard becomes a voter",
        "30",
        Edit(
            membership._note_heard,
            "replace(member, incarnation=incarnation, address=address)",
            "replace(member, part=Part.VOTER, incarnation=incarnation, address=address)",
        ),
    ),
    _mutant(
        "another-folder-is-believed",
        "what another folder says of itself goes into the configuration",
        "27",
        Edit(membership._note_heard, "if member and member.may_be(incarnation):", "if member:"),
    ),
    _mutant(
        "incarnation-not-checked",
        "answers of a node whose folder is new count",
        "27",
        Edit(Roster.countable, "not member.may_be(frame.incarnation)", "False"),
        part=Part.ACTORS,
    ),
    _mutant(
        "word-of-another-past-is-believed",
        "a node ends because of what another one has left of before a restore",
        "27",
        Edit(Roster.vouches, "return member.may_be(frame.incarnation)", "return True"),
        part=Part.ACTORS,
    ),
    _mutant(
        "wiped-node-campaigns",
        "a node whose folder is new campaigns as if it remembered its votes",
        "27",
        Edit(
            election._may_lead,
            " or _is_another_folder(raft)",
            "",
        ),
    ),
    _mutant(
        "newborn-campaigns",
        "a node that knows nothing campaigns among others that may know nothing either",
        "27",
        Edit(election._may_lead, "raft.founding.pending or ", ""),
    ),
    _mutant(
        "founded-by-a-majority",
        "a cluster begins as soon as a majority of its founders is new",
        "27",
        Edit(Founding.handle, "len(self._told) == 1 + len(self._others)", "len(self._told) >= 2"),
        Edit(Founding._found, "self._told[each.name]", 'self._told.get(each.name, "")'),
    ),
    _mutant(
        "founded-on-an-old-answer",
        "an answer to an earlier life of the first founder counts",
        "27",
        Edit(Founding.handle, "message.called == self._raft.incarnation and ", ""),
    ),
    _mutant(
        "founder-that-is-not-new-answers",
        "a node with a past says that it is new",
        "27",
        Edit(
            Founding.handle,
            "if not self.newborn:",
            "if isinstance(message, FoundingEntry) and not self.newborn:",
        ),
    ),
    _mutant(
        "removed-node-is-not-told",
        "nobody tells a node that was removed",
        "18",
        Edit(
            Roster.disowned,
            "return Disowned(frame.incarnation, membership.committed_index, known)",
            "return None",
        ),
        part=Part.ACTORS,
    ),
    _mutant(
        "word-of-the-past-believed",
        "a node ends because of what somebody says who is behind it",
        "18",
        Edit(Roster.is_meant, " and disowned.index >= latest_index", ""),
        part=Part.ACTORS,
    ),
    _mutant(
        "part-lost-on-the-way",
        "a learner that is encoded comes back as a voter",
        "30",
        Edit(Configuration.encode, "member.part.value", '"voter"'),
    ),
)
