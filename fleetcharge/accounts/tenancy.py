"""The request as our views see it, and the one way to find its organisation and its author."""

from typing import TypedDict

from django.http import HttpRequest
from rest_framework.exceptions import PermissionDenied
from rest_framework.request import Request

from fleetcharge.accounts.models import APIKey, Organisation, User


class Author(TypedDict):
    """Who decides, as `audit()` and the services want it: `service(**author_of(request))`."""

    actor: User | None
    actor_label: str


class FleetRequest(HttpRequest):
    """Set by OrganisationMiddleware."""

    organisation: Organisation | None
    role: str
    scopes: frozenset[str]
    other_fleets: list[Organisation]
    csp_nonce: str


def organisation_of(request: Request | HttpRequest) -> Organisation:
    """The tenant of an API or page request; 403 for a person without membership."""
    key = getattr(request, "auth", None)
    if isinstance(key, APIKey):
        return key.organisation
    organisation = getattr(request, "organisation", None)
    if not isinstance(organisation, Organisation):
        raise PermissionDenied("You belong to no organisation yet. Ask an owner to add you.", code="no_organisation")
    return organisation


def scopes_of(request: Request | HttpRequest) -> frozenset[str]:
    """What the caller may do: the key's scopes, or the role's."""
    key = getattr(request, "auth", None)
    return frozenset(key.scopes) if isinstance(key, APIKey) else getattr(request, "scopes", frozenset())


def author_of(request: Request | HttpRequest) -> Author:
    """The person, or the machine by the name of its key; never nobody."""
    key = getattr(request, "auth", None)
    if isinstance(key, APIKey):
        return Author(actor=None, actor_label=f"key {key.name}")
    person = request.user if isinstance(request.user, User) else None
    return Author(actor=person, actor_label=str(request.user))
