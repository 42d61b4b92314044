"""OCPI 2.2.1, EMSP side: what we call at a CPO."""

from collections.abc import Iterator

from stations.cpo.base import PENDING, Capability, CommandReceipt, PullReport, ReserveRequest
from stations.models import Connector, Source


class OCPIAdapter:
    """Talks to one CPO per Source over OCPI 2.2.1."""

    kind = Source.Kind.OCPI_221.value
    capabilities = frozenset({Capability.PULL, Capability.PUSH, Capability.RESERVE})

    def poll(self, source: Source) -> Iterator[PullReport]:
        yield PullReport()

    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        return PENDING

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        return PENDING
