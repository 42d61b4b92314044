"""Vendors with JSON of their own, as networks: they push, and those with a list of sites are polled."""

from collections.abc import Iterator

from stations.cpo.base import Capability, CommandReceipt, CPOError, PullReport, ReserveRequest
from stations.cpo.webhooks.polling import poll
from stations.models import Connector, Source


class FeedAdapter:
    """`webhook` sources only push; `rest-poll` sources are polled, and may push too."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        pulls = {Capability.PULL} if kind == Source.Kind.REST_POLL else set()
        self.capabilities = frozenset({Capability.PUSH, *pulls})

    def poll(self, source: Source) -> Iterator[PullReport]:
        """Pages of sites or statuses, by the poll plan and the mapping of the feed."""
        return poll(source)

    def reserve(self, request: ReserveRequest) -> CommandReceipt:
        raise CPOError("not_supported", "This network takes no reservations.")

    def cancel(self, connector: Connector, reservation_key: str, reservation_number: int) -> CommandReceipt:
        raise CPOError("not_supported", "This network takes no reservations.")
