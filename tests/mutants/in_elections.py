"""Bugs in who leads: votes, terms, pre-vote, stepping down, timers."""

from __future__ import annotations

from raftkv.raft import Raft, RaftLog, election, follower, quorum
from raftkv.raft.election import Candidacy
from raftkv.raft.leader import Leadership
from raftkv.raft.succession import Succession
from tests.mutants.planting import Edit, Mutant, Part

_nobody_has_room = vars(Leadership)["_nobody_has_room"].fget


def _mutant(name: str, what: str, pitfall: str, *edits: Edit) -> Mutant:
    return Mutant(name, what, pitfall, Part.RAFT, edits)


MUTANTS = (
    _mutant(
        "refusal-hides-a-grant",
        "a refusal that was held up on its way takes the place of a vote for a later campaign",
        "17",
        Edit(
            Candidacy.record,
            "self.votes[voter] = granted or self.votes.get(voter, False)",
            "self.votes.setdefault(voter, granted)",
        ),
    ),
    _mutant(
        "hands-over-to-the-dead",
        "a leader that ends hands over to a peer that is gone, if that one held everything",
        "22",
        Edit(Succession._readiness, "(progress.alive, ", "(True, "),
    ),
    _mutant(
        "vote-before-fsync",
        "a vote leaves before it is durable",
        "2",
        Edit(
            election.on_request_vote,
            "raft.send_after_append(RequestVoteResponse",
            "raft._messages.append(RequestVoteResponse",
        ),
    ),
    _mutant(
        "candidate-asks-before-fsync",
        "a candidate asks for votes before its own term and vote are durable",
        "2",
        Edit(election.start_election, "raft.send_after_append(", "raft._messages.append("),
    ),
    _mutant(
        "term-not-durable-before-speaking",
        "what carries a new term leaves before that term is durable",
        "2",
        Edit(Raft.send, "self._durability.term < self.current_term", "False"),
    ),
    _mutant(
        "vote-not-persisted",
        "the term is written, the vote is not",
        "2",
        Edit(Raft.ready, "HardState(*state, ", "HardState(self.current_term, None, "),
    ),
    _mutant(
        "term-not-persisted",
        "term and vote are never written at all",
        "2",
        Edit(Raft.ready, "hard_state = HardState(*state, self.log.commit_index)", "hard_state = None"),
    ),
    _mutant(
        "second-vote-in-a-term",
        "a node votes for whoever asks, however often in one term",
        "§5.2",
        Edit(election.on_request_vote, "raft.voted_for not in (None, message.sender) or (", "False and ("),
    ),
    _mutant(
        "vote-kept-in-a-newer-term",
        "a follower enters a newer term but holds on to the vote of the old one",
        "2",
        Edit(Raft.become_follower, "self.voted_for = None", "pass"),
    ),
    _mutant(
        "no-up-to-date-check",
        "a vote is granted however old the candidate's log is",
        "§5.4.1",
        Edit(RaftLog.up_to_date, "return (last_log", "return True or (last_log"),
    ),
    _mutant(
        "longer-log-beats-newer-term",
        "logs are compared by their length alone",
        "§5.4.1",
        Edit(
            RaftLog.up_to_date,
            "(last_log_term, last_log_index) >= (self.last_term, self.last_index)",
            "last_log_index >= self.last_index",
        ),
    ),
    _mutant(
        "refusal-counts-as-vote",
        "any answer in the candidate's term counts as a granted vote",
        "16",
        Edit(
            election.on_request_vote_response,
            "record(raft, message.sender, message.granted,",
            "record(raft, message.sender, True,",
        ),
    ),
    _mutant(
        "pre-vote-counts-as-vote",
        "late pre-votes are counted in the election that follows",
        "17",
        Edit(election.on_pre_vote_response, "candidacy is None or not candidacy.pre", "candidacy is None"),
        Edit(election.on_pre_vote_response, "message.granted and message.term != term", "False"),
        Edit(
            election.on_pre_vote_response,
            "        start_election(raft, trace.REASON_PRE_VOTE_WON)\n",
            "        start_election(raft, '') if candidacy.pre else raft.become_leader()\n",
        ),
    ),
    _mutant(
        "duplicate-vote-counts-twice",
        "a vote that the network delivers twice stands in for a missing one",
        "§5.2",
        Edit(
            Candidacy.record,
            "    self.votes[voter] = granted or self.votes.get(voter, False)",
            "    if voter in self.votes:\n"
            "        others = [name for name in raft.configuration.voters if name not in self.votes]\n"
            "        voter = next(iter(others), voter)\n"
            "    self.votes[voter] = granted or self.votes.get(voter, False)",
        ),
    ),
    _mutant(
        "half-is-a-majority",
        "two of four are taken for a majority",
        "§5.2",
        Edit(quorum.majority, "voter_count // 2 + 1", "(voter_count + 1) // 2"),
    ),
    _mutant(
        "pre-vote-for-anybody",
        "a pre-vote is granted whatever the log and however fresh the leader",
        "17",
        Edit(election.on_pre_vote, "elif raft.leader_is_fresh:", "elif False:"),
        Edit(election.on_pre_vote, "elif not raft.log.up_to_date(", "elif False and not ("),
    ),
    _mutant(
        "no-stickiness",
        "a node that lost touch deposes a leader that everybody hears",
        "thesis §4.2.3",
        Edit(Raft.step, "isinstance(message, RequestVote) and self.leader_is_fresh", "False"),
    ),
    _mutant(
        "leader-adopts-higher-term",
        "a leader that sees a higher term enters it and leads on",
        "21",
        Edit(
            Raft.step,
            "        self.become_follower(message.term, None, trace.REASON_HIGHER_TERM)",
            "        if self.leadership:\n"
            "            self.current_term, self.voted_for = message.term, self.node_id\n"
            "        else:\n"
            "            self.become_follower(message.term, None, trace.REASON_HIGHER_TERM)",
        ),
    ),
    _mutant(
        "leader-ignores-higher-term",
        "a leader takes no notice of a higher term",
        "21",
        Edit(
            Raft.step,
            "        self.become_follower(message.term, None, trace.REASON_HIGHER_TERM)",
            "        if self.leadership:\n"
            "            return\n"
            "        self.become_follower(message.term, None, trace.REASON_HIGHER_TERM)",
        ),
    ),
    _mutant(
        "old-leader-is-obeyed",
        "appends and heartbeats of an earlier term are taken like the present leader's",
        "§5.1",
        Edit(
            Raft.step,
            "elif message.term < self.current_term:",
            "elif message.term < self.current_term and not isinstance(message, AppendEntries | Heartbeat):",
        ),
    ),
    _mutant(
        "old-ack-counts",
        "an acknowledgement of an earlier leadership moves the match index of this one",
        "11",
        Edit(
            Raft.step,
            "elif message.term < self.current_term:",
            "elif message.term < self.current_term and kind is not AppendEntriesResponse:",
        ),
    ),
    _mutant(
        "no-check-quorum",
        "a leader that hears nobody leads on for ever",
        "thesis §6.2",
        Edit(Leadership.tick, "not self._quorum_active()", "False"),
    ),
    _mutant(
        "hung-disk-leads",
        "a leader whose disk hangs keeps everybody waiting with its heartbeats",
        "15",
        Edit(Leadership.tick, "if raft.disk_stalled and", "if False and"),
    ),
    _mutant(
        "full-disk-leads",
        "a leader whose disk is full takes no writes, and stays although the others have room",
        "39",
        Edit(Leadership.tick, "not self._nobody_has_room", "not raft.disk_full"),
    ),
    _mutant(
        "full-disks-lead-nowhere",
        "a leader whose disk is full gives up its office where nobody has the room for a vote",
        "39",
        Edit(Leadership.tick, " and not self._nobody_has_room", ""),
    ),
    _mutant(
        "silent-disks-are-full",
        "a leader whose disk is full takes those that it does not hear to be no better off",
        "39",
        Edit(
            _nobody_has_room, "not (progress.full and progress.alive)", "not progress.full and progress.alive"
        ),
    ),
    _mutant(
        "leadership-to-a-full-disk",
        "leadership is handed to a node that cannot write that it campaigns",
        "39",
        Edit(Succession._able, "(books[peer].behind or books[peer].full)", "books[peer].behind"),
    ),
    _mutant(
        "hung-disk-campaigns",
        "a node whose disk hangs raises its term with every election timeout",
        "15",
        Edit(election.on_timeout, "if not raft.disk_stalled and ", "if "),
    ),
    _mutant(
        "dead-leader-vouched-for",
        "whoever leaves its election timeout to others goes on telling them that the leader is alive",
        "",
        Edit(election.on_timeout, "raft.forget_leader()", "pass"),
    ),
    _mutant(
        "node-behind-campaigns",
        "a node with much to apply leads although others could serve at once",
        "22",
        Edit(election.on_timeout, "raft.timeouts_behind % TIMEOUTS_LEFT_TO_OTHERS == 0", "True"),
    ),
    _mutant(
        "rejection-keeps-the-timer",
        "an append that is rejected does not hold back the follower's own election",
        "19",
        Edit(
            follower.on_append_entries,
            "    raft.follow(message.sender)",
            "    elapsed = raft.election_elapsed\n    raft.follow(message.sender)",
        ),
        Edit(
            follower.on_append_entries,
            "_reject(raft, message)",
            "_reject(raft, message); raft.election_elapsed = elapsed",
        ),
    ),
    _mutant(
        "fixed-election-timeout",
        "every node draws the same election timeout",
        "20",
        Edit(
            Raft._draw_election_timeout,
            "self._rng.randint(self.options.election_ticks_min, self.options.election_ticks_max)",
            "self.options.election_ticks_min",
        ),
    ),
)
