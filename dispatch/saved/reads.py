"""What a page shows of the views that were kept for it."""

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from dispatch.saved.models import SavedView
from fleetcharge.accounts.models import Organisation, User


def of_page(request: HttpRequest, organisation: Organisation, page: str) -> list[dict[str, Any]]:
    """For the chips above a table and the layers of the map."""
    if not isinstance(request.user, User):
        return []
    kept = SavedView.objects.of(organisation, request.user).filter(page=page)
    return [{"id": row.pk, "name": row.name, "address": address_of(row)} for row in kept]


def of_person(person: User) -> list[dict[str, Any]]:
    """Of all fleets, for the copy of one's own data."""
    rows = SavedView.objects.filter(user=person).select_related("organisation").order_by("pk")
    return [
        {"organisation": row.organisation.name, "page": row.page, "name": row.name, "query": row.query,
         "created_at": row.created_at}
        for row in rows
    ]  # fmt: skip


def address_of(row: SavedView) -> str:
    mark = "#" if row.page == SavedView.Page.DISPATCH else "?"
    return f"{reverse(row.page)}{mark}{row.query}"
