"""Why an event happened, in one sentence and with the section that says so.

Composed from the event's own fields alone: its terms, votes and indexes. Sections are those of the
extended Raft paper (§5.2) and of Ongaro's thesis (thesis §9.6).
"""

from __future__ import annotations

from collections.abc import Mapping

from raftkv.raft import trace
from raftkv.tui.event_log import LogLine
from raftkv.tui.why_nodes import OF_NODES, Explain, Fields, Reason

__all__ = ["EXPLAINED", "Reason", "why"]


def why(line: LogLine) -> Reason | None:
    """None where there is nothing to be said beyond the line itself."""
    if line.event is None:
        return _of_command(line)
    explain = EXPLAINED.get(line.event.kind)
    if explain is None:
        return None
    try:
        return explain(line.event.node, line.event.fields)
    except (KeyError, TypeError, ValueError):  # of another version: its fields are not ours
        return None


def _of_command(line: LogLine) -> Reason | None:
    match line.mark:
        case "$" if line.text.startswith("raftkv replay "):
            return Reason("What was seen until then lies in that file; the command shows it again.", "")
        case "$":
            return Reason("You did this; the line is the command that does the same.", "")
        case "☠":
            return Reason(
                f"The process of {line.node} has ended. What it had synced is on its disk; the others notice "
                "when its heartbeats or answers stay away.",
                "§5.2",
            )
        case "…":
            return Reason(
                "The dashboard was told of these too late: publishers drop what nobody takes in time. What "
                "stands on the screen is fresh again.",
                "",
            )
    return None


# -- roles -------------------------------------------------------------------------------------


def _role_changed(node: str, fields: Fields) -> Reason | None:
    role, reason, term = str(fields["role"]), fields["reason"], fields["term"]
    found = _ROLES.get((role, reason)) or _ROLES.get(("", reason))
    if found is None:
        return None
    text, section = found
    return Reason(text.format(node=node, term=term, next=term + 1, before=term - 1), section)


_ROLES: Mapping[tuple[str, str], tuple[str, str]] = {
    ("pre_candidate", trace.REASON_ELECTION_TIMEOUT): (
        (
            "{node} heard no leader for a whole election timeout. Before it raises its term, and with it "
            "everybody's, it asks whether an election in term {next} could be won at all."
        ),
        "thesis §9.6",
    ),
    ("candidate", trace.REASON_ELECTION_TIMEOUT): (
        (
            "{node} heard no leader for a whole election timeout, so it enters term {term}, votes for itself "
            "and asks the others for their votes."
        ),
        "§5.2",
    ),
    ("candidate", trace.REASON_PRE_VOTE_WON): (
        (
            "A quorum has not heard a leader lately either and finds the log of {node} recent enough, so it "
            "enters term {term}, votes for itself and asks for their votes."
        ),
        "§5.2",
    ),
    ("candidate", trace.REASON_TRANSFER): (
        (
            "The leader of term {before} asked {node}, whose log is complete, to take over at once; so it "
            "campaigns in term {term} without waiting for a timeout."
        ),
        "thesis §3.10",
    ),
    ("leader", trace.REASON_ELECTION_WON): (
        (
            "A quorum voted for {node} in term {term}; a node votes once a term, so nobody else can lead it. "
            "An empty entry of its own term will tell it what is committed."
        ),
        "§5.2, §8",
    ),
    ("", trace.REASON_HIGHER_TERM): (
        (
            "{node} received a message of term {term}, which is higher than its own; whoever sees that is a "
            "follower from then on, a leader as well."
        ),
        "§5.1",
    ),
    ("", trace.REASON_LEADER_FOUND): (
        ("{node} heard a leader of term {term}, so somebody else has won, and there is nothing to ask for."),
        "§5.2",
    ),
    ("", trace.REASON_ELECTION_LOST): (
        (
            "So many refused that {node} cannot have a quorum in this round any more; it waits for another "
            "randomised timeout."
        ),
        "§5.2",
    ),
    ("", trace.REASON_CHECK_QUORUM): (
        (
            "{node} led term {term}, but no quorum answered it for an election timeout. It could commit "
            "nothing, and another may lead already, so it steps down rather than keep its clients waiting."
        ),
        "thesis §6.2",
    ),
    ("", trace.REASON_DISK_STALLED): (
        (
            "The disk of {node} does not answer. A leader that cannot append holds up everybody, so it lets "
            "somebody else lead."
        ),
        "",
    ),
    ("", trace.REASON_REMOVED): (
        "The committed configuration counts {node} no longer, so it leads no more.",
        "§6",
    ),
    ("", trace.REASON_RESTART): (
        "{node} has started: everybody begins as a follower, in the term that its disk remembers.",
        "§5.2",
    ),
}


def _leader_changed(node: str, fields: Fields) -> Reason:
    leader, term = fields["leader_id"], fields["term"]
    if leader is None:
        return Reason(f"{node} knows no leader of term {term}: clients have to ask others.", "§5.2")
    if leader == node:
        return Reason(f"{node} has won the election of term {term} and leads.", "§5.2")
    return Reason(
        f"{node} heard {leader} lead term {term}, and sends clients there from now on.",
        "§5.2",
    )


# -- votes -------------------------------------------------------------------------------------


def _vote_answered(node: str, fields: Fields) -> Reason | None:
    candidate, term, pre = fields["candidate"], fields["term"], fields["pre"]
    mine = f"{fields.get('last_index', 0)} of term {fields.get('last_term', 0)}"
    theirs = f"{fields.get('candidate_index', 0)} of term {fields.get('candidate_term', 0)}"
    match fields["reason"]:
        case trace.VOTE_GRANTED if pre:
            return Reason(
                f"{node} has not heard a leader lately, and the last entry of {candidate} ({theirs}) is as "
                f"up to date as its own ({mine}); it would vote for it. This promises nothing yet.",
                "thesis §9.6",
            )
        case trace.VOTE_GRANTED:
            return Reason(
                f"{node} had not voted in term {term}, and the last entry of {candidate} ({theirs}) is as up "
                f"to date as its own ({mine}). The vote is on its disk before the answer leaves.",
                "§5.2, §5.4.1",
            )
        case trace.VOTE_LOG_BEHIND:
            return Reason(
                f"The last entry of {candidate} is {theirs}, that of {node} is {mine}. Whoever lacks entries "
                "that may be committed must not lead, so nobody with more votes for it.",
                "§5.4.1",
            )
        case trace.VOTE_ALREADY_CAST:
            voted = fields.get("voted_for")
            whom = f"{voted}" if voted else "somebody else, or follows a leader"
            return Reason(
                f"{node} voted for {whom} in term {term}; two votes of one node could make two leaders.",
                "§5.2",
            )
        case trace.VOTE_LEADER_ALIVE:
            return Reason(
                f"{node} has heard its leader within the shortest election timeout, so {candidate} is the "
                "one that is cut off; a healthy leader is not to be deposed by it.",
                "thesis §4.2.3",
            )
        case trace.VOTE_OLD_TERM:
            return Reason(
                f"{candidate} asks about term {term}, but {node} is in a term as high already.", "§5.1"
            )
        case trace.VOTE_DISK_STALLED:
            return Reason(
                f"The disk of {node} does not answer: a vote that cannot be made durable could not leave.",
                "§5.2",
            )
    return None


def _vote_received(node: str, fields: Fields) -> Reason:
    votes, needed, term = fields["votes"], fields["needed"], fields["term"]
    kind = "pre-votes" if fields["pre"] else "votes"
    whose = "its own" if fields["voter"] == node else f"that of {fields['voter']}"
    if not fields["granted"]:
        return Reason(
            f"{fields['voter']} refused: {node} has {votes} of {needed} {kind} for term {term}.", "§5.2"
        )
    tail = "that is a quorum" if votes >= needed else f"{needed - votes} more would be a quorum"
    return Reason(f"With {whose}, {node} has {votes} of {needed} {kind} for term {term}; {tail}.", "§5.2")


# -- logs --------------------------------------------------------------------------------------


def _truncated(node: str, fields: Fields) -> Reason:
    first, last = fields["first_index"], fields["last_index"]
    entries = f"entry {first}" if first == last else f"entries {first} to {last}"
    return Reason(
        f"The leader of term {fields['term']} has other terms at {entries} than {node}. They were never "
        "committed, or it could not lead; so they are dropped, and its own come in their place.",
        "§5.3, Figure 7",
    )


def _lost(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} acknowledged entry {fields['known_index']} to {fields['leader']}, and its log ends at "
        f"{fields['last_index']}. A folder that was put back from an older copy, or a disk that forgot what "
        "it had synced, has forgotten votes as well: it must not go on under this name.",
        "§5.2, §8",
    )


def _doubted(node: str, fields: Fields) -> Reason:
    return Reason(
        f"Whoever leads holds all that is committed. {fields['leader']} has another entry {fields['index']} "
        f"than the one that {node} knows to be committed: it, or those who elected it, forgot what they had "
        "acknowledged. It gets no answer, and loses its quorum if the others know better too.",
        "§5.4.3",
    )


def _append_rejected(node: str, fields: Fields) -> Reason:
    previous, index = fields["prev_log_index"], fields["conflict_index"]
    if fields["conflict_term"]:
        found = f"there it holds an entry of term {fields['conflict_term']}, from {index} on"
    else:
        found = f"its log ends before that, at {index - 1}"
    return Reason(
        f"{fields['leader']} appends after entry {previous}, but {node} cannot confirm it: {found}. The hint "
        "lets the leader skip back a whole term at once.",
        "§5.3",
    )


def _transfer_started(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} takes no more writes, brings {fields['to']} up to date, and tells it to campaign at once.",
        "thesis §3.10",
    )


def _transfer_abandoned(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{fields['to']} did not win within an election timeout, so {node} serves on: a hand-over must not "
        "cost more than an election.",
        "thesis §3.10",
    )


def _snapshot_sent(node: str, fields: Fields) -> Reason:
    return Reason(
        f"The next entry that {fields['to']} needs is not in the log of {node} any more; a snapshot of "
        f"everything up to {fields['index']} stands for it.",
        "§7",
    )


def _snapshot_installed(node: str, fields: Fields) -> Reason:
    rest = (
        "Its log holds that entry and goes on from there."
        if fields["kept"]
        else "Its log had not come that far, or differed, and begins anew after it."
    )
    return Reason(f"{node} has the state of the leader up to entry {fields['index']}. {rest}", "§7")


def _compacted(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} has a durable snapshot; of the entries up to {fields['last_index']} nobody needs the words "
        "any more, only what they came to.",
        "§7",
    )


def _configuration_changed(node: str, _: Fields) -> Reason:
    return Reason(
        f"{node} follows a configuration from the moment it stands in its log, committed or not; while two "
        "overlap, everything needs a majority of both.",
        "§6",
    )


def _founding(node: str, fields: Fields) -> Reason:
    return Reason(
        f"{node} knows no earlier life of this cluster. It begins only when all its nodes were heard, "
        f"or two halves could each found one; not heard yet: {fields['missing']}.",
        "",
    )


EXPLAINED: Mapping[str, Explain] = {
    "RoleChanged": _role_changed,
    "LeaderChanged": _leader_changed,
    "VoteAnswered": _vote_answered,
    "VoteReceived": _vote_received,
    "EntriesTruncated": _truncated,
    "AppendRejected": _append_rejected,
    "EntriesLost": _lost,
    "LeaderDoubted": _doubted,
    "TransferStarted": _transfer_started,
    "TransferAbandoned": _transfer_abandoned,
    "SnapshotSent": _snapshot_sent,
    "SnapshotInstalled": _snapshot_installed,
    "LogCompacted": _compacted,
    "ConfigurationChanged": _configuration_changed,
    "FoundingAwaits": _founding,
    **OF_NODES,
}
