"""What the desk says after a wish: done, or who has to agree first."""

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from billing.approvals.models import Approval
from fleetcharge.accounts.admin import back_to


def follow(request: HttpRequest, model_admin: Any, wish: Approval | None, object_id: Any, done: str) -> HttpResponse:
    """To the row with `done` when nobody else had to agree, else to the wish that waits."""
    if wish is None or wish.state == Approval.State.FREE:
        messages.success(request, done)
        return back_to(model_admin, object_id)
    messages.success(request, _("Another person has to approve it."))
    return back_to(model_admin.admin_site.get_model_admin(Approval), wish.pk)
