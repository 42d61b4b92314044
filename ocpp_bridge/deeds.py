"""What a person may ask of a charger from its page: with a reason, once, and in the audit trail."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from fleetcharge.accounts.models import AuditEntry, Organisation, User
from fleetcharge.accounts.services import audit
from ocpp_bridge import commands, configuration, firmware, inventory, local_lists, offers, rollouts, uploads
from ocpp_bridge.instants import to_wire
from ocpp_bridge.models import Command, ConfigurationRollout, LocalList
from stations.models import Charger

Text = str | Promise
A = Command.Action
MAX_REASON = 500
FIRST_BY_HAND = 2**30


class Refused(Exception):
    """What the person is told; nothing has been done."""


@dataclass(frozen=True)
class Field:
    """One thing the person chooses; `choices` are (value, text).

    `offer` finds the choices of one charger; without any, the field is typed when `may_be_typed`, else there is nothing
    to do and no button.
    """

    name: str
    label: Text
    choices: tuple[tuple[str, Text], ...] = ()
    is_number: bool = False
    is_required: bool = True
    hint: Text = ""
    offer: Callable[[Organisation, Charger], tuple[tuple[str, Text], ...]] | None = None
    may_be_typed: bool = False


@dataclass(frozen=True)
class Order:
    """Who asks what of which charger, and why; `key` makes a repeated click the same order."""

    organisation: Organisation
    charger: Charger
    actor: User | None
    actor_label: str
    reason: str
    key: str
    now: datetime


@dataclass(frozen=True)
class Deed:
    """One button. `is_grave`: it interrupts somebody."""

    name: str
    label: Text
    explanation: Text
    icon: str
    run: Callable[[Order, dict[str, Any]], None]
    fields: tuple[Field, ...] = ()
    is_grave: bool = False


def at(charger: Charger, organisation: Organisation, names: Iterable[str]) -> list[Deed]:
    """These deeds with what there is to choose from at this charger; those with nothing to do are left out."""
    found = [_offered(DEEDS[name], charger, organisation) for name in names]
    return [
        deed for deed in found if all(field.may_be_typed or field.choices or not field.offer for field in deed.fields)
    ]


def _offered(deed: Deed, charger: Charger, organisation: Organisation) -> Deed:
    fields = tuple(
        replace(field, choices=field.offer(organisation, charger)) if field.offer else field for field in deed.fields
    )
    return replace(deed, fields=fields)


def do(deed_name: str, given: Mapping[str, str], order: Order) -> Deed:
    """Carry out one order; raises Refused with the sentence to show."""
    deed = DEEDS.get(deed_name)
    if deed is None:
        raise Refused(_("There is no such action."))
    if not order.reason.strip():
        raise Refused(_("Please say why."))
    try:
        deed.run(order, {field.name: _value(field, given.get(field.name, "").strip()) for field in deed.fields})
    except commands.KeyReused:
        raise Refused(_("This was already asked for, with other details.")) from None
    except (commands.BadParameters, firmware.BadLocation) as error:
        raise Refused(str(error)) from None
    except rollouts.NothingToChange:
        raise Refused(_("There is nothing to change: the charger is as it should be, or does not let us.")) from None
    return deed


def _value(field: Field, text: str) -> Any:
    if not text:
        if field.is_required:
            raise Refused(_("Something is missing: %(name)s.") % {"name": field.label})
        return None
    if field.choices and text not in {value for value, _label in field.choices}:
        raise Refused(_("Something is missing: %(name)s.") % {"name": field.label})
    if field.is_number:
        if not text.isascii() or not text.isdigit() or not 0 < int(text) < 32_768:
            raise Refused(_("Something is missing: %(name)s.") % {"name": field.label})
        return int(text)
    return text[:500]


def _command(action: str, read: Callable[[dict[str, Any]], dict[str, Any]] = dict) -> Callable[..., None]:
    """A plain command of the ledger. `read` turns the fields into its parameters."""

    @transaction.atomic
    def run(order: Order, fields: dict[str, Any]) -> None:
        parameters = {name: value for name, value in read(fields).items() if value is not None}
        command = commands.enqueue(
            charger_id=order.charger.pk, action=action, parameters=parameters, idempotency_key=order.key,
            actor=order.actor_label, now=order.now,
        )  # fmt: skip
        _note(order, action, parameters, command)

    return run


def _note(order: Order, action: str, parameters: dict[str, Any], command: Command) -> None:
    if command.created_at != order.now:  # a repeated click
        return
    audit(
        action="charger.command", target=order.charger, actor=order.actor, actor_label=order.actor_label,
        reason=order.reason, after={"action": str(action), "parameters": parameters, "command": str(command.pk)},
    )  # fmt: skip


def _availability(fields: dict[str, Any]) -> dict[str, Any]:
    return {"is_operative": fields["state"] == "operative", "evse_number": fields["evse_number"]}


def _log(order: Order, fields: dict[str, Any]) -> None:
    uploads.ask_for_log(
        charger_id=order.charger.pk, kind=fields["kind"], actor=order.actor, actor_label=order.actor_label,
        reason=order.reason, key=order.key, now=order.now,
    )  # fmt: skip


def _firmware(order: Order, fields: dict[str, Any]) -> None:
    firmware.start_update(
        charger_id=order.charger.pk, location=fields["location"], actor=order.actor, actor_label=order.actor_label,
        reason=order.reason, key=order.key, now=order.now,
    )  # fmt: skip


@transaction.atomic
def _read(order: Order, fields: dict[str, Any]) -> None:
    command = configuration.ask(charger_id=order.charger.pk, actor=order.actor_label, now=order.now, key=order.key)
    _note(order, A.GET_CONFIGURATION, {}, command)


@transaction.atomic
def _list_certificates(order: Order, fields: dict[str, Any]) -> None:
    command = inventory.ask_for_list(charger=order.charger, actor=order.actor_label, key=order.key, now=order.now)
    _note(order, A.GET_INSTALLED_CERTIFICATE_IDS, {}, command)


def _align(order: Order, fields: dict[str, Any]) -> None:
    rollouts.begin(
        organisation=order.organisation, charger_ids=[order.charger.pk], actor=order.actor, reason=order.reason,
        now=order.now, order_key=order.key,
    )  # fmt: skip


def _align_all(order: Order, fields: dict[str, Any]) -> None:
    """Every charger of the fleet with this vendor and model."""
    alike = Charger.objects.for_organisation(order.organisation).filter(
        vendor=order.charger.vendor, model=order.charger.model
    )
    rollouts.begin(
        organisation=order.organisation, charger_ids=list(alike.values_list("pk", flat=True)), actor=order.actor,
        reason=order.reason, now=order.now, first_chargers=fields["first_chargers"], order_key=order.key,
    )  # fmt: skip


def _roll_back(order: Order, fields: dict[str, Any]) -> None:
    """The one the person saw, so that a repeated click does not take back the one before it too."""
    number = fields["rollout"]
    held = {"changes__charger": order.charger, "changes__state__in": ("set", "restoring", "restored")}
    mine = ConfigurationRollout.objects.for_organisation(order.organisation).filter(**held)
    chosen = mine.filter(pk=int(number)).first() if number.isascii() and number.isdigit() and len(number) < 19 else None
    if chosen is None:
        raise Refused(_("No change of ours is in force here."))
    rollouts.roll_back(rollout_id=chosen.pk, actor=order.actor, reason=order.reason, now=order.now)


def _reserve(order: Order, fields: dict[str, Any]) -> None:
    """With a number beyond those that dispatch gives its promises."""
    if Command.objects.filter(organisation=order.organisation, idempotency_key=order.key).exists():  # a repeated click
        return
    digest = hashlib.sha256(order.key.encode()).digest()
    ask = _command(A.RESERVE_NOW)
    ask(order, {
        "evse_number": fields["evse_number"],
        "id_token": fields["id_token"],
        "reservation_number": FIRST_BY_HAND + int.from_bytes(digest[:4]) % FIRST_BY_HAND,
        "expires_at": to_wire(order.now + timedelta(minutes=fields["minutes"])),
    })  # fmt: skip


def _cancellation(fields: dict[str, Any]) -> dict[str, Any]:
    number = fields["reservation_number"]
    if not (number.isascii() and number.isdigit() and len(number) < 11):
        raise Refused(_("There is no such reservation."))
    return {"reservation_number": int(number)}


@transaction.atomic
def _send_list(order: Order, fields: dict[str, Any]) -> None:
    if not LocalList.objects.filter(pk=order.charger.pk).exists():
        raise Refused(_("No local list is kept for this charger."))
    name = {"action": "charger.local_list", "target_type": "stations.charger", "target_id": str(order.charger.pk)}
    if AuditEntry.objects.filter(**name, after__order=order.key).exists():  # a repeated click
        return
    audit(
        action=name["action"], target=order.charger, actor=order.actor, actor_label=order.actor_label,
        reason=order.reason, after={"order": order.key},
    )  # fmt: skip
    local_lists.send_anew(charger_id=order.charger.pk, now=order.now)
    local_lists.advance(charger_id=order.charger.pk, now=order.now)


EVSE = Field("evse_number", _("EVSE"), is_number=True)
ANY_EVSE = Field("evse_number", _("EVSE"), is_number=True, is_required=False, hint=_("Empty: the whole charger."))

DEEDS: dict[str, Deed] = {
    deed.name: deed
    for deed in (
        Deed(
            "start", _("Start charging"), _("The charger starts a session for this token."), "bolt",
            _command(A.REMOTE_START), (Field("id_token", _("Token")), EVSE),
        ),
        Deed(
            "stop", _("Stop charging"), _("The session ends and the vehicle stops charging."), "close",
            _command(A.REMOTE_STOP),
            (Field("transaction_ref", _("Session"), offer=offers.running_sessions, may_be_typed=True,
                   hint=_("The charger's transaction id.")),), is_grave=True,
        ),
        Deed(
            "reserve", _("Reserve"), _("The charger keeps this EVSE for the token."), "clock", _reserve,
            (EVSE, Field("id_token", _("Token")), Field("minutes", _("Minutes"), is_number=True)),
        ),
        Deed(
            "cancel-reservation", _("Cancel reservation"), _("Anybody may charge there again."), "close",
            _command(A.CANCEL_RESERVATION, _cancellation),
            (Field("reservation_number", _("Reservation"), offer=offers.held_reservations),), is_grave=True,
        ),
        Deed(
            "clear-cache", _("Clear token cache"), _("The charger forgets whom it has let charge."), "out",
            _command(A.CLEAR_CACHE),
        ),
        Deed(
            "local-list", _("Send local list"), _("The charger is told anew who may charge while it is offline."),
            "list", _send_list,
        ),
        Deed(
            "trigger", _("Ask for a message"), _("The charger sends this message now."), "bell",
            _command(A.TRIGGER_MESSAGE),
            (Field("message", _("Message"), tuple((word, word) for word in (
                "StatusNotification", "BootNotification", "Heartbeat", "MeterValues",
            ))),),
        ),
        Deed(
            "unlock", _("Unlock connector"), _("Frees a cable that is stuck. A session at it may end."), "plug",
            _command(A.UNLOCK_CONNECTOR), (EVSE,), is_grave=True,
        ),
        Deed(
            "availability", _("Change availability"), _("Takes plugs out of service, or back into it."), "slash",
            _command(A.CHANGE_AVAILABILITY, _availability),
            (Field("state", _("State"), (("inoperative", _("Out of service")), ("operative", _("In service")))),
             ANY_EVSE), is_grave=True,
        ),
        Deed(
            "reset", _("Restart"), _("Soft waits for sessions to end; hard cuts them off."), "out",
            _command(A.RESET), (Field("kind", _("Kind"), (("soft", _("Soft")), ("hard", _("Hard")))),), is_grave=True,
        ),
        Deed("read", _("Read configuration"), _("The charger reports how it is set."), "search", _read),
        Deed(
            "align", _("Bring into line"), _("Every key that differs is set to what it should be."), "check", _align,
        ),
        Deed(
            "align-all", _("Bring all of this model into line"),
            _("The first few chargers alone; the rest when they took it. A failure takes everything back."), "layers",
            _align_all, (Field("first_chargers", _("First chargers"), is_number=True),), is_grave=True,
        ),
        Deed(
            "roll-back", _("Take back the last change"),
            _("The old values are set again, at every charger it reached."), "clock", _roll_back,
            (Field("rollout", _("Change"), offer=offers.change_in_force),), is_grave=True,
        ),
        Deed(
            "log", _("Fetch a log"), _("The charger uploads a file to an address that works once."), "down", _log,
            (Field("kind", _("Kind"), (("diagnostics", _("Diagnostics")), ("security", _("Security log")))),),
        ),
        Deed(
            "firmware", _("Update firmware"), _("The charger downloads and installs it, and may be away for long."),
            "layers", _firmware, (Field("location", _("Address of the file")),), is_grave=True,
        ),
        Deed(
            "certificates", _("List certificates"), _("The charger says which certificates it has."), "list",
            _list_certificates,
        ),
    )
}  # fmt: skip
TABS_OF_DEEDS: dict[str, tuple[str, ...]] = {
    "commands": (
        "start",
        "stop",
        "reserve",
        "cancel-reservation",
        "trigger",
        "unlock",
        "availability",
        "reset",
        "clear-cache",
        "local-list",
    ),
    "configuration": ("read", "align", "align-all", "roll-back"),
    "firmware": ("firmware", "log"),
    "certificates": ("certificates",),
}
