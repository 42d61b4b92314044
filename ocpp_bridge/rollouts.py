"""Changes of configuration for many chargers: in stages, stopped by failures, taken back when they fail."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from django.db import transaction

from fleetcharge.accounts.models import Organisation, User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.sweeps import survived
from ocpp_bridge import commands, configuration
from ocpp_bridge.models import Command, ConfigurationChange, ConfigurationRollout
from ocpp_bridge.redaction import is_secret_name
from stations.models import Charger

State, Change = ConfigurationRollout.State, ConfigurationChange.State
PATIENCE = timedelta(hours=24)
_UNFINISHED = (Change.WAITING, Change.SENT)


class NothingToChange(Exception):
    """Every charger asked for is as it should be, or cannot be changed."""


@transaction.atomic
def begin(
    *,
    organisation: Organisation,
    charger_ids: Sequence[int],
    actor: User | None,
    reason: str,
    now: datetime,
    first_chargers: int = 1,
    failures_allowed: int = 0,
    rolls_back: bool = True,
    order_key: str = "",
    actor_label: str = "system",
    keys: Collection[str] | None = None,
) -> ConfigurationRollout:
    """Bring these chargers to what they should be set to, the first few alone. Raises NothingToChange.

    The same `order_key` of the same organisation is the same roll-out. `keys` None: whatever differs. `actor_label`:
    who begins it when no person does.
    """
    chargers = Charger.objects.for_organisation(organisation).filter(pk__in=charger_ids)
    known = {"organisation": organisation, "order_key": order_key[:80]}
    wanted = {
        "first_chargers": max(1, first_chargers), "failures_allowed": failures_allowed, "rolls_back": rolls_back,
        "actor": str(actor or actor_label)[:120], "reason": reason, "created_at": now,
    }  # fmt: skip
    if order_key:
        rollout, is_new = ConfigurationRollout.objects.get_or_create(**known, defaults=wanted)
        if not is_new:
            return rollout
    else:
        rollout = ConfigurationRollout.objects.create(**known, **wanted)
    changes: list[ConfigurationChange] = []
    for place, (charger, gaps) in enumerate(_to_change(chargers.order_by("-is_online", "pk"), keys)):
        stage = 0 if place < rollout.first_chargers else 1
        changes += [
            ConfigurationChange(
                rollout=rollout, charger=charger, stage=stage, key=key, old_value=old, new_value=new, updated_at=now
            )
            for key, old, new in gaps
        ]
    if not changes:
        raise NothingToChange
    ConfigurationChange.objects.bulk_create(changes)
    audit(
        action="configuration.rollout", target=rollout, actor=actor, reason=reason,
        after={"chargers": len({change.charger_id for change in changes}), "changes": len(changes)},
    )  # fmt: skip
    _send_stage(rollout, now)
    return rollout


def _to_change(
    chargers: Iterable[Charger], keys: Collection[str] | None
) -> Iterable[tuple[Charger, list[tuple[str, str | None, str]]]]:
    for charger in chargers:
        gaps = [
            (gap.key, gap.found, gap.wanted)
            for gap in configuration.drift_of(charger)
            if gap.can_change and not is_secret_name(gap.key) and (keys is None or gap.key in keys)
        ]
        if gaps:
            yield charger, gaps


@transaction.atomic
def take_answer(*, command_id: str, now: datetime) -> bool:
    """A change was answered: note it and go on; False when the command is none of ours."""
    found = ConfigurationChange.objects.filter(command_id=command_id).values_list("rollout_id", flat=True).first()
    if found is None:
        return False
    advance(rollout_id=found, now=now)
    return True


@transaction.atomic
def advance(*, rollout_id: int, now: datetime) -> str:
    """Read what was answered, then send the next stage, stop, or finish; returns the state. Harmless to repeat."""
    rollout = ConfigurationRollout.objects.select_for_update().get(pk=rollout_id)
    if rollout.state not in ConfigurationRollout.OPEN_STATES:
        return rollout.state
    _read_answers(rollout, now)
    if rollout.state == State.RUNNING:
        _go_on(rollout, now)
    elif not rollout.changes.filter(state=Change.RESTORING).exists():
        _finish(rollout, State.ROLLED_BACK, now)
    return rollout.state


@transaction.atomic
def roll_back(*, rollout_id: int, actor: User | None, reason: str, now: datetime) -> int:
    """Restore what this roll-out changed, where the old value is known; returns how many changes are on their way."""
    rollout = ConfigurationRollout.objects.select_for_update().get(pk=rollout_id)
    if rollout.state in (State.ROLLING_BACK, State.ROLLED_BACK):
        return 0
    audit(action="configuration.roll_back", target=rollout, actor=actor, reason=reason)
    return _restore(rollout, now)


# --- inside the transaction -----------------------------------------------------------------------------------------


def _read_answers(rollout: ConfigurationRollout, now: datetime) -> None:
    under_way = rollout.changes.filter(state__in=(Change.SENT, Change.RESTORING)).select_related("command")
    for change in under_way.order_by("pk"):
        command = change.command
        if command is None or command.state in Command.OPEN_STATES:
            continue
        is_done = command.state == Command.State.ACCEPTED
        if change.state == Change.SENT:
            change.state = Change.SET if is_done else Change.FAILED
        else:
            change.state = Change.RESTORED if is_done else Change.LEFT
        change.reason, change.updated_at = command.reason or command.state, now
        if is_done and not command.reason:
            change.reason = ""
        change.save(update_fields=["state", "reason", "updated_at"])
        if is_done:
            _note_value(change, command.answered_at or now)


def _note_value(change: ConfigurationChange, at: datetime) -> None:
    """It said yes; the next read of its configuration shows whether it meant it."""
    value = change.new_value if change.state == Change.SET else change.old_value
    configuration.store(charger_id=change.charger_id, rows=[(change.key, value, False, False)], at=at)


def _go_on(rollout: ConfigurationRollout, now: datetime) -> None:
    failed = rollout.changes.filter(state=Change.FAILED)
    if failed.values("charger_id").distinct().count() > rollout.failures_allowed:
        rollout.changes.filter(state=Change.WAITING).update(state=Change.SKIPPED, updated_at=now)
        if rollout.changes.filter(state=Change.SENT).exists():
            return  # what is on its way comes back first
        if not (rollout.rolls_back and _restore(rollout, now)):
            _finish(rollout, State.STOPPED, now)
        return
    if not rollout.changes.filter(state__in=_UNFINISHED).exists():
        _finish(rollout, State.DONE, now)
        return
    _send_stage(rollout, now)


def _send_stage(rollout: ConfigurationRollout, now: datetime) -> None:
    """The changes of the earliest stage that is not finished."""
    stage = rollout.changes.filter(state__in=_UNFINISHED).values_list("stage", flat=True).order_by("stage").first()
    if stage is None:
        return
    for change in rollout.changes.filter(stage=stage, state=Change.WAITING).order_by("charger_id", "pk"):
        change.command = _say(rollout, change, change.new_value, "set", now)
        change.state, change.updated_at = Change.SENT, now
        change.save(update_fields=["command", "state", "updated_at"])


def _restore(rollout: ConfigurationRollout, now: datetime) -> int:
    """In the opposite order. An old value we never knew cannot come back."""
    rollout.changes.filter(state=Change.WAITING).update(state=Change.SKIPPED, updated_at=now)
    rollout.changes.filter(state=Change.SET, old_value=None).update(state=Change.LEFT, updated_at=now)
    changes = list(rollout.changes.filter(state=Change.SET).order_by("-pk"))
    for change in changes:
        change.command = _say(rollout, change, change.old_value or "", "restore", now)
        change.state, change.updated_at = Change.RESTORING, now
        change.save(update_fields=["command", "state", "updated_at"])
    if changes:
        rollout.state, rollout.finished_at = State.ROLLING_BACK, None
        rollout.save(update_fields=["state", "finished_at"])
    return len(changes)


def _say(rollout: ConfigurationRollout, change: ConfigurationChange, value: str, why: str, now: datetime) -> Command:
    return commands.enqueue(
        charger_id=change.charger_id,
        action=Command.Action.CHANGE_CONFIGURATION,
        parameters={"key": change.key, "value": value},
        idempotency_key=f"rollout:{rollout.pk}:{change.pk}:{why}",
        deadline_at=now + PATIENCE,
        actor=rollout.actor,
        now=now,
    )


def _finish(rollout: ConfigurationRollout, state: str, now: datetime) -> None:
    rollout.state, rollout.finished_at = state, now
    rollout.save(update_fields=["state", "finished_at"])


def sweep(*, now: datetime) -> int:
    """Every open roll-out looks at its commands: an event may have been lost."""
    open_ids = list(ConfigurationRollout.objects.unfinished().order_by("pk").values_list("pk", flat=True))
    for rollout_id in open_ids:
        with survived("roll-out", rollout_id):
            advance(rollout_id=rollout_id, now=now)
    return len(open_ids)
