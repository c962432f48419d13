"""All bugs that the tests are tried on. Those of features that are still to come join with them."""

from __future__ import annotations

from tests.mutants import (
    in_data_model,
    in_elections,
    in_leases,
    in_membership,
    in_replication,
    in_service,
    in_snapshots,
    in_storage,
)
from tests.mutants.planting import Mutant

MUTANTS: tuple[Mutant, ...] = (
    *in_elections.MUTANTS,
    *in_replication.MUTANTS,
    *in_storage.MUTANTS,
    *in_service.MUTANTS,
    *in_snapshots.MUTANTS,
    *in_membership.MUTANTS,
    *in_data_model.MUTANTS,
    *in_leases.MUTANTS,
)
BY_NAME = {mutant.name: mutant for mutant in MUTANTS}
