"""What transactions are made of: see ``raftkv.client.txn``."""

from raftkv.client.requests import Step
from raftkv.client.txn import (
    Comparable,
    Compare,
    absent,
    create_revision,
    delete,
    exists,
    get,
    lease,
    mod_revision,
    nested,
    prefix,
    put,
    range_,
    value,
    version,
)

__all__ = [
    "Comparable",
    "Compare",
    "Step",
    "absent",
    "create_revision",
    "delete",
    "exists",
    "get",
    "lease",
    "mod_revision",
    "nested",
    "prefix",
    "put",
    "range_",
    "value",
    "version",
]
