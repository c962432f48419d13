"""What a node's refusal means to whoever asked."""

from __future__ import annotations

from raftkv.errors import ClientError, Compacted, InvalidRequest, LeaseNotFound, shown
from raftkv.kv.commands import Code


def final_error(code: int, detail: object) -> ClientError | None:
    """Of an answer that no further try would change; None for any other code."""
    match code:
        case Code.INVALID:
            return InvalidRequest(_reason(detail))
        case Code.LEASE_NOT_FOUND:
            return LeaseNotFound(detail)
        case Code.COMPACTED:
            return Compacted(detail if type(detail) is int else 0)
        case Code.FUTURE_REVISION:
            return InvalidRequest(f"that revision lies in the future: the store is at {shown(detail)}")
    return None


def _reason(detail: object) -> str:
    """What a node says, as long as it is a line."""
    return detail if isinstance(detail, str) and detail.isprintable() and detail else shown(detail)
