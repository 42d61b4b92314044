"""Who may open the wallet's pages: whoever reads billing; only owners and finance act."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache

from billing.approvals.models import Approval
from billing.models import Wallet
from fleetcharge.accounts.models import Membership, Scope, User
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of

View = Callable[..., HttpResponseBase]


def wallet_page(view: View) -> View:
    """Reading needs `billing:read`, every POST `billing:write`; the others are told why not and whom to ask."""

    @wraps(view)
    @never_cache
    def guarded(request: FleetRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        needed = Scope.BILLING_READ if request.method in {"GET", "HEAD"} else Scope.BILLING_WRITE
        if request.organisation is None or needed not in request.scopes:
            return _no_access(request, needed)
        return view(request, *args, **kwargs)

    return guarded


def _no_access(request: FleetRequest, needed: str) -> HttpResponse:
    why = ""
    if request.organisation is not None:
        role = Membership.Role(request.role).label
        if needed == Scope.BILLING_READ:
            why = _("You are signed in as %(role)s. The wallet is for owners and finance.") % {"role": role}
        else:
            why = _("You are signed in as %(role)s. Only owners and finance move money.") % {"role": role}
    return render(request, "no_access.html", {"why": why}, status=403)


def may_act(request: FleetRequest) -> bool:
    return Scope.BILLING_WRITE in request.scopes


def person(request: HttpRequest) -> User | None:
    return request.user if isinstance(request.user, User) else None


def wallet_of(request: FleetRequest) -> Wallet | None:
    return (
        Wallet.objects.select_related("account", "organisation").filter(organisation=organisation_of(request)).first()
    )


def tell(request: HttpRequest, wish: Approval | None, done: str) -> None:
    """`done`, or that another person has to agree first."""
    waits = wish is not None and wish.state == Approval.State.ASKED
    messages.success(request, _("Another person has to approve it.") if waits else done)


def own(request: FleetRequest, rows: Any, **where: Any) -> Any:
    """A row of the caller's organisation, or 404."""
    return get_object_or_404(rows.filter(organisation=organisation_of(request)), **where)
