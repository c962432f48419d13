"""The identities that every layer shares."""

from typing import NewType

NodeId = NewType("NodeId", str)
"""A node's name, as in ``cluster.toml``: ``n1``."""

Term = NewType("Term", int)
"""A Raft term. 0 before the first election."""

LogIndex = NewType("LogIndex", int)
"""A position in the replicated log. The first entry has index 1; 0 means "before the log"."""
