"""Takes queued commands to one charger, in order, and writes down what it said."""

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ocpp_bridge import commands
from ocpp_bridge.lane import CallFailed
from ocpp_bridge.models import Command
from ocpp_bridge.station import Unusable
from ocpp_bridge.threads import in_database
from stations.models import Charger

if TYPE_CHECKING:
    from ocpp_bridge.consumers import ChargerConsumer

logger = logging.getLogger(__name__)


async def deliver(consumer: "ChargerConsumer") -> None:
    """Claim and send until the queue is empty. Only one courier per socket is on the way."""
    if consumer.has_courier or not _may_be_commanded(consumer):
        return
    consumer.has_courier = True
    try:
        while not consumer.is_closed and (command := await _claim(consumer)):
            await _carry(consumer, command)
    except Exception as error:  # the row says `sent`; the sweep closes it, the poll finds the rest
        logger.warning("command delivery interrupted: %s", error)
    finally:
        consumer.has_courier = False


def _may_be_commanded(consumer: "ChargerConsumer") -> bool:
    """OCPP 1.6 section 4.2: nothing is sent to a charger that was not accepted."""
    return consumer.station is not None and consumer.station.registration == Charger.Registration.ACCEPTED


async def _claim(consumer: "ChargerConsumer") -> Command | None:
    assert consumer.station is not None  # noqa: S101 (a courier only runs for a registered socket)
    return await in_database(commands.claim_next, charger_id=consumer.station.charger_id, now=datetime.now(UTC))


async def _carry(consumer: "ChargerConsumer", command: Command) -> None:
    state, reason, response = await _ask(consumer, command)
    await in_database(
        commands.finish, command_id=command.pk, state=state, reason=reason, response=response, at=datetime.now(UTC)
    )


async def _ask(consumer: "ChargerConsumer", command: Command) -> tuple[str, str, Any]:
    """(state, reason, raw response) of one command."""
    try:
        action, payload = consumer.meaning.command(command.action, command.parameters)
        await in_database(commands.note_request, command_id=command.pk, request=payload)
        answer = await consumer.lane.call(action, payload)
    except Unusable as error:
        return Command.State.FAILED, str(error), None
    except CallFailed as error:
        return Command.State.FAILED, str(error), {"error": error.code, "description": error.description}
    except TimeoutError:
        return Command.State.TIMED_OUT, "No answer from the charger.", None
    status = answer.get("status", "") if isinstance(answer, dict) else ""
    if status == "Accepted":
        return Command.State.ACCEPTED, "", answer
    return Command.State.REJECTED, str(status) or "Unreadable answer", answer


def is_mute(consumer: "ChargerConsumer", after_seconds: float) -> bool:
    """A reconnect without a status: normal after a network loss, but the map would show old news."""
    has_reported = consumer.station is None or consumer.station.has_reported
    return not has_reported and time.monotonic() - consumer.connected_at > after_seconds


async def ask_for_status(consumer: "ChargerConsumer") -> None:
    """Once per socket; chargers that cannot do it say so and are left alone."""
    assert consumer.station is not None  # noqa: S101 (see is_mute)
    consumer.station.has_reported = True
    if not _may_be_commanded(consumer):
        return
    try:
        action, payload = consumer.meaning.command(Command.Action.TRIGGER_MESSAGE, {"message": "StatusNotification"})
        await consumer.lane.call(action, payload)
    except (CallFailed, TimeoutError, Unusable) as error:
        logger.info("%s does not report on request: %s", consumer.station.identity, error)
