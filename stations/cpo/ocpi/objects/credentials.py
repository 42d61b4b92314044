"""Versions and credentials: who the peer is, and the token it gives us."""

from typing import Annotated

from pydantic import BeforeValidator, Field

from stations.cpo.ocpi.objects.base import BusinessDetails, CountryCode, PartyId, Wire


def _stripped(value: object) -> object:
    """Samples in circulation end in a newline once they are decoded."""
    return value.strip() if isinstance(value, str) else value


class Role(Wire):
    role: str
    party_id: PartyId
    country_code: CountryCode
    business_details: BusinessDetails = BusinessDetails()


class CredentialsIn(Wire):
    """`hub_party_id` (five characters, OCPI 2.3.0): the peer is a hub, and its roles are who can be reached."""

    token: Annotated[str, BeforeValidator(_stripped), Field(min_length=1, max_length=64)]
    url: str
    roles: list[Role] = []
    hub_party_id: str | None = None


class VersionIn(Wire):
    version: str
    url: str


class EndpointIn(Wire):
    """2.1.1 has no `role`."""

    identifier: str
    role: str = ""
    url: str


class VersionDetailsIn(Wire):
    version: str = ""
    endpoints: list[EndpointIn]
