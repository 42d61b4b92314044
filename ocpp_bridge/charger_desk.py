"""What a dispatcher may ask of chargers from the admin: each time with a reason, kept in the audit trail."""

import uuid
from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from unfold.widgets import UnfoldAdminIntegerFieldWidget, UnfoldAdminSelectWidget

from fleetcharge.accounts.admin import ReasonForm, ask
from fleetcharge.accounts.services import audit
from ocpp_bridge import commands
from ocpp_bridge.models import Command
from ocpp_bridge.parameters import MESSAGES
from stations.models import Charger

A = Command.Action
Action = Callable[[Any, HttpRequest, QuerySet[Charger]], HttpResponse | None]


def _choice(label: Any, *choices: tuple[str, Any]) -> forms.ChoiceField:
    return forms.ChoiceField(label=label, choices=choices, widget=UnfoldAdminSelectWidget())


def _evse(*, low: int) -> forms.IntegerField:
    help_text = gettext_lazy("0: the whole station.") if low == 0 else ""
    return forms.IntegerField(
        label=gettext_lazy("EVSE"), min_value=low, max_value=99, initial=low, help_text=help_text,
        widget=UnfoldAdminIntegerFieldWidget(),
    )  # fmt: skip


class CommandForm(ReasonForm):
    """The parameters of one action besides its reason."""

    def parameters(self) -> dict[str, Any]:
        return {name: value for name, value in self.cleaned_data.items() if name != "reason"}


class RestartForm(CommandForm):
    kind = _choice(
        gettext_lazy("When"), ("soft", gettext_lazy("When nobody charges")), ("hard", gettext_lazy("At once"))
    )


class AvailabilityForm(CommandForm):
    availability = _choice(
        gettext_lazy("Availability"), ("off", gettext_lazy("Out of service")), ("on", gettext_lazy("In service"))
    )
    evse_number = _evse(low=0)

    def parameters(self) -> dict[str, Any]:
        given = super().parameters()
        return {"is_operative": given["availability"] == "on", "evse_number": given["evse_number"]}


class UnlockForm(CommandForm):
    evse_number = _evse(low=1)


class TriggerForm(CommandForm):
    message = _choice(gettext_lazy("Message"), *((name, name) for name in MESSAGES))
    evse_number = _evse(low=0)


def _action(name: str, action: str, title: Any, form_class: type[CommandForm]) -> Action:
    """A list action of the chargers: a page asks why and how, then each charger gets its command."""

    @admin.action(description=title, permissions=["change"])
    def run(desk: Any, request: HttpRequest, queryset: QuerySet[Charger]) -> HttpResponse | None:
        chargers = [charger for charger in queryset if desk.has_change_permission(request, charger)]
        form = form_class(request.POST if "reason" in request.POST else None)
        if form.is_valid():
            _send(request, chargers, action, form)
            return None
        chosen = [("_selected_action", charger.pk) for charger in chargers]
        hidden = [("action", name), ("page", uuid.uuid4()), *chosen]
        return ask(request, desk, title=title, form=form, submit=_("Send"), rows=chargers, hidden=hidden)

    run.__name__ = name
    return run


@transaction.atomic
def _send(request: HttpRequest, chargers: list[Charger], action: str, form: CommandForm) -> None:
    """A page that is sent twice sends each command once."""
    page = str(request.POST.get("page") or uuid.uuid4())[:36]
    for charger in chargers:
        command = commands.enqueue(
            charger_id=charger.pk, action=action, parameters=form.parameters(), actor=str(request.user),
            idempotency_key=f"desk:{page}:{charger.pk}",
        )  # fmt: skip
        audit(
            action=f"command.{action}", target=charger, actor=request.user, reason=form.cleaned_data["reason"],  # type: ignore[arg-type]
            after={"command": str(command.pk), **form.parameters()},
        )  # fmt: skip
        if command.state == Command.State.FAILED:
            messages.warning(request, f"{charger}: {command.reason}")
    messages.success(request, _("%(count)d commands given; the ledger shows the answers.") % {"count": len(chargers)})


ACTIONS: list[Action] = [
    _action("restart", A.RESET, gettext_lazy("Restart"), RestartForm),
    _action(
        "change_availability", A.CHANGE_AVAILABILITY, gettext_lazy("Take out of service or put back"), AvailabilityForm
    ),
    _action("unlock_connector", A.UNLOCK_CONNECTOR, gettext_lazy("Unlock a connector"), UnlockForm),
    _action("trigger_message", A.TRIGGER_MESSAGE, gettext_lazy("Ask for a message"), TriggerForm),
]
