"""Addresses that come from peers, checked as every address is that others gave us (SSRF)."""

from django.conf import settings

from fleetcharge.lib import outbound
from fleetcharge.lib.outbound import Target, same_origin
from stations.cpo.base import CPOError

__all__ = ["Target", "check_url", "same_origin"]


def check_url(url: str) -> Target:
    """The address we may call; see `outbound.check_url`. Raises CPOError."""
    try:
        return outbound.check_url(url, allow_private=settings.OCPI_ALLOW_PRIVATE_HOSTS)
    except outbound.RefusedAddress as error:
        raise CPOError(error.code, str(error)) from None
