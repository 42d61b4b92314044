"""Who may have a device report for a vehicle: an IMEI is printed on the box, so knowing it is no right to it."""

from datetime import timedelta

from fleetcharge.accounts import throttling
from vehicles.fixes import is_imei
from vehicles.models import UnknownDevice, Vehicle

WRONG_IMEIS = throttling.Rate(30, 3600)
MOVED_BACK_MOST = timedelta(days=7)
"""Trackers keep what they could not send for some days."""


class DeviceTaken(Exception):
    """The device already reports for another vehicle; `is_own` when for one of the same fleet, which may move it."""

    def __init__(self, device_id: str, *, is_own: bool = False) -> None:
        self.is_own = is_own
        super().__init__(device_id)


class MovedTooEarly(Exception):
    """It cannot have gone there then: over a week ago, at another vehicle's later time, or in another fleet's."""

    def __init__(self) -> None:
        super().__init__("The device was elsewhere then: a later move, another fleet, or more than seven days ago.")


class DeviceNotHeard(Exception):
    """A fleet may claim an IMEI that reported by TCP and belongs to nobody; `wait_seconds` after too many guesses."""

    def __init__(self, wait_seconds: int = 0) -> None:
        self.wait_seconds = wait_seconds
        super().__init__(
            "Too many IMEIs that nobody heard; try again later."
            if wait_seconds
            else "This IMEI has not reported to us by TCP. Switch the tracker on and try again, or ask the operator."
        )


def check_device(
    *, device_id: str, organisation_id: int, vehicle_id: int | None = None, is_operator: bool = False
) -> None:
    """Raises DeviceTaken or DeviceNotHeard; whether another fleet has an IMEI cannot be told from the answer."""
    holder = Vehicle.objects.filter(device_id=device_id).first()
    if holder is not None and holder.pk == vehicle_id:
        return
    is_own = holder is not None and holder.organisation_id == organisation_id
    if is_imei(device_id) and not is_operator and not is_own:
        _must_be_heard(device_id, organisation_id, is_free=holder is None)
    if holder is not None:
        raise DeviceTaken(device_id, is_own=is_own)


def forget_unknown(*, device_id: str, organisation_id: int) -> None:
    """It is known now."""
    UnknownDevice.objects.filter(device_id=device_id, organisation_id=organisation_id).delete()
    UnknownDevice.objects.filter(device_id=device_id, organisation=None).delete()


def _must_be_heard(imei: str, organisation_id: int, *, is_free: bool) -> None:
    who = str(organisation_id)
    if seconds := throttling.counter.add("imei", who, WRONG_IMEIS, by=0):
        raise DeviceNotHeard(seconds)
    if not is_free or not UnknownDevice.objects.filter(device_id=imei, organisation=None).exists():
        raise DeviceNotHeard(throttling.counter.add("imei", who, WRONG_IMEIS))
