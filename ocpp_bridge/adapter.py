"""Our own OCPP chargers as one more network: reservations go out as commands, answers come back as events."""

from collections.abc import Iterator

from stations.cpo.base import PENDING, Capability, CommandReceipt, PullReport, ReserveRequest
from stations.models import Connector, Source


class OwnChargersAdapter:
    kind = Source.Kind.OWN_OCPP.value
    capabilities = frozenset({Capability.RESERVE, Capability.START_STOP, Capability.PUSH})

    def poll(self, source: Source) -> Iterator[PullReport]:
        return iter(())

    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        return PENDING

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        return PENDING
