"""How often a charger samples sets itself: asked after a boot, said when it differs, and read back."""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, F, OuterRef, Q, QuerySet

from fleetcharge.lib.sweeps import survived
from ocpp_bridge import commands, configuration, rollouts
from ocpp_bridge.drift import is_same
from ocpp_bridge.models import ChargerConfiguration, Command, ConfigurationChange, ConfigurationValue
from stations.models import Charger, Connector

KEY = "MeterValueSampleInterval"  # SampledDataCtrlr.TxUpdatedInterval of OCPP 2.x
ACTOR = "sampling check"
REASON = "Bills and the map need samples this often."
NOT_KEPT = "accepted, and still "
LOOKS_BACK = timedelta(hours=1)
AT_ONCE = 200

Change = ConfigurationChange.State


def take_answer(*, command_id: str, now: datetime) -> None:
    """Go on with whatever an answered command brought: its settings, our change, or the look whether it was kept."""
    command = Command.objects.filter(pk=command_id, state=Command.State.ACCEPTED).first()
    if command is None:
        return
    if command.action == Command.Action.CHANGE_CONFIGURATION:
        read_back(now=now, command_id=command_id)
    elif command.actor == ACTOR:
        _verify(command, now)
    else:
        set_after_boot(charger_id=command.charger_id, now=now)


@transaction.atomic
def set_after_boot(*, charger_id: int, now: datetime) -> bool:
    """Say how often to sample, once per boot, to a charger that reported something else; True when it is on its way.

    Not to chargers for which a desired configuration of their fleet decides this key.
    """
    if not settings.OCPP_SET_SAMPLING:
        return False
    ChargerConfiguration.objects.select_for_update().filter(charger_id=charger_id).first()  # one at a time
    charger = Charger.objects.select_related("organisation").get(pk=charger_id)
    if charger.registration != Charger.Registration.ACCEPTED or charger.last_boot_at is None:
        return False
    if (
        configuration.is_wished(charger, KEY)
        or _tried(charger_id).filter(rollout__created_at__gte=charger.last_boot_at).exists()
    ):
        return False
    try:
        rollouts.begin(
            organisation=charger.organisation, charger_ids=[charger_id], actor=None, actor_label=ACTOR,
            reason=REASON, keys={KEY}, rolls_back=False, now=now,
        )  # fmt: skip
    except rollouts.NothingToChange:
        return False
    return True


def read_back(*, now: datetime, command_id: str | None = None) -> int:
    """A charger that said yes is asked whether it meant it; returns how many are asked."""
    done = ConfigurationChange.objects.filter(rollout__actor=ACTOR, key=KEY, state=Change.SET)
    done = done.filter(updated_at__gt=now - LOOKS_BACK) if command_id is None else done.filter(command_id=command_id)
    asked = Command.objects.filter(
        charger_id=OuterRef("charger_id"), actor=ACTOR, action=Command.Action.GET_CONFIGURATION,
        created_at__gte=OuterRef("updated_at"),
    )  # fmt: skip
    waiting = list(done.filter(~Exists(asked))[:AT_ONCE])
    for change in waiting:
        commands.enqueue(
            charger_id=change.charger_id,
            action=Command.Action.GET_CONFIGURATION,
            parameters={"keys": [KEY]},
            idempotency_key=f"sampling:{change.pk}",
            actor=ACTOR,
            now=now,
        )
    return len(waiting)


def sweep(*, now: datetime) -> int:
    """What an event missed, among chargers that reported within the hour; returns how many are told."""
    if not settings.OCPP_SET_SAMPLING:
        return 0
    read_back(now=now)
    is_dc = Exists(Connector.objects.filter(evse__charger=OuterRef("charger_id"), power_type=Connector.PowerType.DC))
    slow, fast = (configuration.defaults(is_dc=value)[KEY] for value in (False, True))
    differs = (Q(is_dc) & ~Q(value=fast)) | (~Q(is_dc) & ~Q(value=slow))
    tried = _tried(OuterRef("charger_id")).filter(rollout__created_at__gte=OuterRef("charger__last_boot_at"))
    said = ConfigurationValue.objects.filter(
        differs, ~Exists(tried), key=KEY, is_unknown=False, is_readonly=False, reported_at__gt=now - LOOKS_BACK,
        reported_at__gte=F("charger__last_boot_at"), charger__is_online=True,
    )  # fmt: skip
    ids = list(said.order_by("reported_at").values_list("charger_id", flat=True)[:AT_ONCE])
    told = 0
    for charger_id in ids:
        with survived("charger", charger_id):
            told += set_after_boot(charger_id=charger_id, now=now)
    return told


def _verify(command: Command, now: datetime) -> None:
    """What it says now stands in its configuration already; a broken promise is a failed change."""
    change = _tried(command.charger_id).filter(state=Change.SET).order_by("-pk").first()
    found = ConfigurationValue.objects.filter(charger_id=command.charger_id, key=KEY).first()
    if change is None or found is None or change.reason:  # RebootRequired: it shows after its next boot
        return
    if found.is_unknown or not is_same(found.value or "", change.new_value):
        change.state, change.updated_at = Change.FAILED, now
        change.reason = (NOT_KEPT + (found.value or "silent"))[:120]
        change.save(update_fields=["state", "reason", "updated_at"])


def _tried(charger_id: int | OuterRef) -> QuerySet[ConfigurationChange]:
    return ConfigurationChange.objects.filter(charger_id=charger_id, key=KEY, rollout__actor=ACTOR)
