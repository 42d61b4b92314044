"""The page on which somebody who was invited becomes a member, and the way from one of one's fleets to another."""

from django import forms
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST

from fleetcharge.accounts import invitations
from fleetcharge.accounts.middleware import SESSION_KEY
from fleetcharge.accounts.models import Invitation, Organisation, User
from fleetcharge.accounts.services import audit


class AcceptForm(forms.Form):
    full_name = forms.CharField(max_length=120, required=False)
    password = forms.CharField(max_length=128, strip=False)


@never_cache
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """What is offered, by whom; accepting leads to the sign-in. A dead link is a 404."""
    offer = invitations.find(token, now=timezone.now())
    if offer is None:
        raise Http404("This invitation is over.")
    form = AcceptForm(request.POST if request.method == "POST" else None)
    if form.is_valid() and _accept(offer, form):
        return redirect("login")
    return render(request, "invitation.html", {"invitation": offer, "form": form})


@require_POST
def switch_fleet(request: HttpRequest) -> HttpResponse:
    """Work for another of one's fleets from here on; 404 for one that is not."""
    person = User.objects.get(pk=request.user.pk or 0)
    chosen = request.POST.get("organisation", "")
    fleets = Organisation.objects.filter(memberships__user=person, pk=int(chosen) if chosen.isdecimal() else 0)
    organisation = get_object_or_404(fleets)
    request.session[SESSION_KEY] = organisation.pk
    audit(action="fleet.enter", target=organisation, actor=person, organisation=organisation)
    return redirect("home")


def invited_address(request: HttpRequest, token: str) -> str:
    """Whose password is asked for; '' for a dead link."""
    offer = invitations.find(token, now=timezone.now())
    return offer.email if offer else ""


def _accept(offer: Invitation, form: AcceptForm) -> bool:
    try:
        invitations.accept(invitation_id=offer.pk, now=timezone.now(), **form.cleaned_data)
    except (invitations.Refused, ValidationError) as refusal:
        messages = refusal.messages if isinstance(refusal, ValidationError) else [str(refusal)]
        for message in messages:
            form.add_error(None, message)
        return False
    return True
