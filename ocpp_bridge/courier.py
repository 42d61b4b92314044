"""Takes queued commands to one charger, in order, and writes down what it said."""

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.conf import settings

from ocpp_bridge import actions, commands, metrics
from ocpp_bridge.lane import CallFailed
from ocpp_bridge.models import Command
from ocpp_bridge.station import Station, Unusable
from ocpp_bridge.threads import in_database, in_database_once
from stations.models import Charger

if TYPE_CHECKING:
    from ocpp_bridge.consumers import ChargerConsumer

BOOT_GRACE_SECONDS = 5.0
ASK_STATUS_SECONDS = 5.0  # a command that somebody waits for may be behind it
ASK_TO_BOOT_AGAIN_SECONDS = 300.0

logger = logging.getLogger(__name__)


async def deliver(consumer: "ChargerConsumer", node: str) -> None:
    """Claim and send until the queue is empty. Only one courier per socket is on the way."""
    if consumer.has_courier or not is_ready(consumer):
        return
    consumer.has_courier = True
    try:
        while await _deliver_next(consumer, node):
            pass
    except Exception as error:  # the row says `sent`; the sweep closes it, the poll finds the rest
        logger.warning("command delivery interrupted: %s", error)
    finally:
        consumer.has_courier = False


async def _deliver_next(consumer: "ChargerConsumer", node: str) -> bool:
    """The lane first, then the command: `sent` means on the wire, and its deadline is looked at when it can go."""
    async with consumer.lane.turn():
        if consumer.is_closed or consumer.is_leaving:  # while it waited for its turn
            return False
        command = await _claim(consumer, node)
        if command is not None:
            await _carry(consumer, command)
    return command is not None


def is_ready(consumer: "ChargerConsumer") -> bool:
    """May the charger be spoken to? Never while rejected, and not before its BootNotification has been answered.

    A charger that reconnects after a network loss does not boot: then any other message of its own, answered, or a few
    seconds of silence will do. What a pending charger may be told is decided per command.
    """
    if consumer.station is None or not consumer.station.has_booted:
        return False
    if consumer.station.registration == Charger.Registration.REJECTED:
        return False
    if not consumer.has_settled:
        has_spoken = consumer.heard_at > consumer.connected_at and consumer.is_idle
        consumer.has_settled = has_spoken or time.monotonic() - consumer.connected_at > BOOT_GRACE_SECONDS
    return consumer.has_settled


async def _claim(consumer: "ChargerConsumer", node: str) -> Command | None:
    assert consumer.station is not None  # noqa: S101 (a courier only runs for a registered socket)
    return await in_database_once(
        commands.claim_next,
        charger_id=consumer.station.charger_id,
        node=node,
        epoch=consumer.epoch,
        protocol=consumer.dialect.subprotocol,
        registration=consumer.station.registration,
        now=datetime.now(UTC),
    )


async def _carry(consumer: "ChargerConsumer", command: Command) -> None:
    try:
        state, reason, response = await _ask(consumer, command)
    except ConnectionError:
        await in_database(commands.lose, command_id=command.pk, at=datetime.now(UTC))
        return
    metrics.commands.add((command.action, str(state)))
    await in_database(
        commands.finish, command_id=command.pk, state=state, reason=reason, response=response, at=datetime.now(UTC)
    )


async def _ask(consumer: "ChargerConsumer", command: Command) -> tuple[str, str, Any]:
    """(state, reason, raw response) of one command; ConnectionError when the socket died before the answer."""
    try:
        answer = await consumer.lane.call_in_turn(
            command.wire_action, command.request or {}, commands.answer_seconds(command.action)
        )
    except CallFailed as error:
        if error.code == "Disconnected":
            raise ConnectionError(error.description) from error
        return Command.State.FAILED, str(error), {"error": error.code, "description": error.description}
    except TimeoutError:
        return Command.State.TIMED_OUT, "No answer from the charger.", None
    return *actions.judge(command.action, answer), answer


def is_mute(consumer: "ChargerConsumer", after_seconds: float) -> bool:
    """A reconnect without a status: normal after a network loss, but the map would show old news."""
    has_reported = consumer.station is None or consumer.station.has_reported
    return not has_reported and time.monotonic() - consumer.connected_at > after_seconds


async def ask_for_status(consumer: "ChargerConsumer") -> None:
    """Once per socket; chargers that cannot do it say so and are left alone. Commands of people go first.

    OCPP 2.x: one that never booted with us may say nothing else before it does (2.0.1 part 2, B01), so that is asked
    for, from time to time.
    """
    station = consumer.station
    assert station is not None  # noqa: S101 (see is_mute)
    if consumer.has_courier or not consumer.lane.is_idle:
        return
    if not station.has_booted:
        await _ask_to_boot(consumer, station)
    elif is_ready(consumer) and station.registration == Charger.Registration.ACCEPTED:
        station.has_reported = True
        await _ask_for(consumer, "StatusNotification")


async def _ask_to_boot(consumer: "ChargerConsumer", station: Station) -> None:
    is_early = time.monotonic() - consumer.asked_to_boot_at < ASK_TO_BOOT_AGAIN_SECONDS
    if is_early or not consumer.is_idle or station.registration == Charger.Registration.REJECTED:
        return
    consumer.asked_to_boot_at = time.monotonic()
    await _ask_for(consumer, "BootNotification")


async def ask_for_a_sign(consumer: "ChargerConsumer") -> None:
    """Any frame is one, a refusal too. Chargers that rely on pings need not say anything while nothing happens."""
    if consumer.has_courier or not consumer.lane.is_idle or not is_ready(consumer):
        return
    consumer.asked_for_a_sign_at = time.monotonic()
    await _ask_for(consumer, "Heartbeat")


def gives_no_sign(consumer: "ChargerConsumer") -> bool:
    """It was asked for one, and has had the time of an answer."""
    asked_at = consumer.asked_for_a_sign_at
    return asked_at > consumer.heard_at and time.monotonic() - asked_at > settings.OCPP_CALL_TIMEOUT_SECONDS


async def _ask_for(consumer: "ChargerConsumer", message: str) -> None:
    try:
        action, payload = consumer.meaning.command(Command.Action.TRIGGER_MESSAGE, {"message": message})
        await consumer.lane.call(action, payload, min(ASK_STATUS_SECONDS, settings.OCPP_CALL_TIMEOUT_SECONDS))
    except (CallFailed, TimeoutError, Unusable) as error:
        identity = consumer.station.identity if consumer.station else ""
        logger.info("%s does not send %s on request: %s", identity, message, error)
