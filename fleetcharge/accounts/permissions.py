"""A view names the scopes it needs; keys and roles carry them."""

from typing import Any

from rest_framework.permissions import SAFE_METHODS, BasePermission
from rest_framework.request import Request

from fleetcharge.accounts.models import APIKey
from fleetcharge.accounts.tenancy import scopes_of


class HasScope(BasePermission):
    """`read_scope` for safe methods, `write_scope` for the rest; a view without them is for nobody."""

    message = "Your key or role does not include this."
    code = "missing_scope"

    def has_permission(self, request: Request, view: Any) -> bool:
        if not (isinstance(request.auth, APIKey) or (request.user and request.user.is_authenticated)):
            return False
        needed = getattr(view, "read_scope" if request.method in SAFE_METHODS else "write_scope", None)
        return needed is not None and needed in scopes_of(request)
