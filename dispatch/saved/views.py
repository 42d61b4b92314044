"""Keep a view, take it away. Where each page shows them is the page's own business."""

from urllib.parse import parse_qsl, urlencode

from django import forms
from django.contrib import messages
from django.db import transaction
from django.http import Http404, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.utils.translation import gettext
from django.views.decorators.http import require_POST

from dispatch.saved.models import SavedView
from dispatch.saved.reads import address_of
from dispatch.views import needs
from fleetcharge.accounts.models import Organisation, Scope, User
from fleetcharge.accounts.tenancy import FleetRequest, organisation_of

MOST = 50
"""Of one person in one fleet."""

PASSING = {"after", "before", "export"}
"""Where somebody was, not what they looked at."""


class SavedViewForm(forms.ModelForm):  # type: ignore[type-arg]  # Django has no such brackets
    class Meta:
        model = SavedView
        fields = ["page", "name", "query"]

    def clean_name(self) -> str:
        return " ".join(self.cleaned_data["name"].split())

    def clean_query(self) -> str:
        return urlencode(
            [(name, value) for name, value in parse_qsl(self.cleaned_data["query"]) if name not in PASSING]
        )


@require_POST
@needs(Scope.STATIONS_READ)
def save(request: FleetRequest) -> HttpResponse:
    """Under a name that was used already: what it means now."""
    form = SavedViewForm(request.POST)
    if not form.is_valid():
        messages.error(request, gettext("This view could not be kept: it needs a name of at most 60 characters."))
        page = request.POST.get("page", "")
        return redirect(page if page in SavedView.Page else "dispatch")
    said, person = form.cleaned_data, request.user
    row = SavedView(page=said["page"], name=said["name"], query=said["query"])
    if isinstance(person, User) and _keep(organisation_of(request), person, row):
        messages.success(request, gettext("“%(name)s” is kept.") % {"name": row.name})
    else:
        messages.error(request, gettext("You keep %(most)s views already. Remove one first.") % {"most": MOST})
    return redirect(address_of(row))


@transaction.atomic
def _keep(organisation: Organisation, person: User, row: SavedView) -> bool:
    User.objects.select_for_update().get(pk=person.pk)  # two tabs may keep at one time
    mine = SavedView.objects.of(organisation, person)
    if not mine.filter(page=row.page, name=row.name).exists() and mine.count() >= MOST:
        return False
    SavedView.objects.update_or_create(
        organisation=organisation, user=person, page=row.page, name=row.name, defaults={"query": row.query}
    )
    return True


@require_POST
@needs(Scope.STATIONS_READ)
def remove(request: FleetRequest, view_id: int) -> HttpResponse:
    if not isinstance(request.user, User):
        raise Http404
    row = get_object_or_404(SavedView.objects.of(organisation_of(request), request.user), pk=view_id)
    row.delete()
    messages.success(request, gettext("“%(name)s” is removed.") % {"name": row.name})
    return redirect(row.page)
