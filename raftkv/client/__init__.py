"""The client library: ``Client`` (sync, thread-safe) over ``core`` (no I/O, deterministic)."""

from raftkv.client.client import CasResult, Client, DeleteResult, Entry, PutResult

__all__ = ["CasResult", "Client", "DeleteResult", "Entry", "PutResult"]
