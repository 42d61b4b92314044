"""What the page says about each oddity of a sender, and what to do about it."""

from django.utils.translation import gettext_lazy as _

from vehicles.fixes import CLOCK_CORRECTED, LATE, MOCK_LOCATION, SUSPECT_POSITION, SUSPECT_SOC

NOT_HEARD = _("This IMEI has not reported to us by TCP. Switch the tracker on and try again, or ask the operator.")
FLAGS = {
    CLOCK_CORRECTED: _("clock put right"),
    LATE: _("late"),
    SUSPECT_POSITION: _("a jump, not shown"),
    SUSPECT_SOC: _("charge not believed"),
    MOCK_LOCATION: _("made-up position"),
}
TOO_EARLY = _("The device was elsewhere then: a later move, another fleet, or more than seven days ago.")
WHEN = _("Say when it was moved: a date and a time that have passed, or nothing for now.")
STORED_STAYS = _("What it measured since then and comes late is this vehicle's; what is stored stays where it is.")
TOO_MANY = _("Too many IMEIs that nobody heard; try again in an hour.")

NOTES = {
    "indian_clock": _("The clock sends Indian time as UTC. We take its pings as of now; set its zone to UTC."),
    "clock_ahead": _("The clock is wrong. We take the pings as of now; let the tracker set its clock by satellite."),
    "late": _("Pings come over ten minutes late, so they raise no alert. Look for a weak network or a saving mode."),
    "mock": _("The phone says that its position is made up by another app."),
    "jumps": _("The position jumps further than the vehicle can drive. Look at the receiver's place and sky."),
    "charge_jumps": _("The charge jumps, so it is not believed. Look at which value the sender takes for it."),
    "speed_in_mps": _("The speed looks like metres per second. Our format wants km/h."),
    "speed_in_knots": _("The speed looks like knots. Our format wants km/h."),
    "speed_in_mph": _("The speed looks like miles per hour. Our format wants km/h."),
    "speed_times_3_6": _("The speed looks converted twice. Check the sender's unit."),
    "no_charge": _("The vehicle's charge is not told. A phone's or tracker's own battery is never taken for it."),
    "charge_is_a_fraction": _("The charge is never above 1. It is read as percent; send 44 for 44 %."),
}
