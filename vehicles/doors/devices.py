"""Senders whose only credential is the id of their device: claimed, not too eager, or told why not."""

from collections.abc import Sequence

from vehicles.decoders.pings import BadBody
from vehicles.doors.requests import Refused
from vehicles.fixes import Fix, Problem, is_device_id, is_imei
from vehicles.intake import UNKNOWN_DEVICE, Verdict, accept, has_room, is_claimed, is_known

REJECTED = b"x-ping-rejected"
TOO_EAGER_SECONDS = 10
NO_SECRET = Problem("imei_is_no_secret", "An IMEI is printed on the box, so it lets nobody in here. Use an id of ours.")


async def accept_from_device(device: str, decoded: Sequence[Fix | Problem], raw: bytes) -> list[Verdict]:
    """As intake.accept for one device of unchanged apps; raises Refused.

    A device that sends more than it can have lived through is told to come back (503), which costs it nothing: these
    apps keep what was not taken.
    """
    if not is_device_id(device):
        raise Refused(400, "invalid", "The device's id is missing, not printable or longer than 64 characters.")
    if is_imei(device):
        raise Refused(400, *NO_SECRET)
    if not await is_known(device, raw):
        raise Refused(400, *UNKNOWN_DEVICE)
    if not await has_room(device, len(decoded)):
        raise Refused(503, "too_fast", "More pings than this device can have lived through.", TOO_EAGER_SECONDS)
    verdicts = await accept(decoded, None, raw, device)
    if UNKNOWN_DEVICE in verdicts and not await is_claimed(device):
        raise Refused(400, *UNKNOWN_DEVICE)
    return verdicts


def problem_header(verdicts: Sequence[Verdict]) -> list[tuple[bytes, bytes]]:
    """Why a readable ping was refused. It is no error to the app, which would repeat it for ever."""
    return [(REJECTED, verdict.code.encode()) for verdict in verdicts if isinstance(verdict, Problem)][:1]


def raise_if_broken(verdicts: Sequence[Verdict]) -> None:
    """A message nobody can read is answered with 400, after what was readable has been stored."""
    for verdict in verdicts:
        if isinstance(verdict, Problem) and verdict.code == "invalid":
            raise BadBody(verdict.code, verdict.detail)
