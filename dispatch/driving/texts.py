"""Every sentence of the driver's page that is not in its template."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

HEADLINES: dict[str, str | Promise] = {
    "decide": _("Your dispatcher is choosing where you charge"),
    "go": _("Drive to %(site)s, plug %(bay)s"),
    "here": _("You are there: plug in at %(bay)s"),
    "charge": _("Charging at %(site)s, plug %(bay)s"),
    "full": _("Full: unplug and make room"),
    "done": _("Charged: drive on"),
    "missed": _("Your place at %(site)s was given up"),
    "nowhere": _("There is no charger for you just now"),
    "none": _("Nothing to charge just now"),
}
ADVICE: dict[str, str | Promise] = {
    "decide": _("This page changes by itself. Stop where it is safe, or drive on slowly."),
    "here": _("Then scan the code on the plug, or type it below."),
    "full": _("Nothing flows any more, and others may wait. It may cost a fee for idling."),
    "missed": _("Nobody came in time. Call your dispatcher."),
    "nowhere": _("Stop where it is safe and call your dispatcher."),
    "none": _("There is no plan for you. This page changes by itself when there is one."),
}
"""Steps whose next sentence is always the same."""
HOLDS: dict[str, str | Promise] = {
    "asked": _("The place is being reserved."),
    "network": _("Reserved for you from %(from)s to %(until)s."),
    "soft": _("Kept for you until %(until)s, but only from your own fleet: strangers may come."),
    "later": _("Kept for you from %(from)s to %(until)s. Come in that time."),
    "open": _("The place is yours, but its network reserves nothing."),
}
LATE = _("You may come after that: call your dispatcher.")
CHARGE = _("Charge to %(target)s %%, about %(minutes)s minutes.")
ARRIVE = _("You arrive with about %(arrival)s %%.")
UNTIL = _("Done at about %(time)s.")
NEXT = _("Then drive to %(stop)s.")
NOT_FROM_HERE = _("This charger is not started from here. Use your card, or the app of %(network)s.")
PLAN_B = _("If it does not let you charge: %(station)s is %(minutes)s minutes on.")
NO_PLAN_B = _("If it does not let you charge, another plug is looked for.")

SAID: dict[str, str | Promise] = {
    "off": _("Your dispatcher sees that you are on the way."),
    "arrived": _("Your dispatcher sees that you are there."),
    "reported": _("Thank you. Another plug is looked for."),
    "charge": _("Thank you. We count on from there."),
    "start": _("The charger is asked to start."),
    "stop": _("The charger is asked to stop."),
    "nothing": _("That was known already."),
}
"""What a button came to, by the word in the address."""
REFUSALS: dict[str, str | Promise] = {
    "too_late": _("Your plan has changed. Look at what it says now."),
    "not_a_percentage": _("The charge is a number from 0 to 100."),
    "newer_reading": _("The charge was read later than that."),
    "unknown_plug": _("We know no plug with this code that your fleet may use. Look at it again."),
    "several_plugs": _("Several plugs have this code. Type the one on the cable, or scan it."),
    "charges_already": _("Your vehicle is charging already."),
    "not_running": _("Your vehicle is not charging any more."),
    "not_supported": _("This charger is not started or stopped from here. Use its own buttons or your card."),
    "in_progress": _("That is being done already."),
    "no_token": _("Your vehicle has no token to charge with. Call your dispatcher."),
    "reserved": _("This plug is reserved for another vehicle."),
    "site_not_allowed": _("Your vehicle may not charge at this site."),
    "network_not_authorised": _("Your fleet has no contract with this network."),
    "not_on_shift": _("Nobody is on shift with this vehicle. Call your dispatcher."),
    "insufficient": _("Your fleet's wallet is empty. Call your dispatcher."),
    "wallet_frozen": _("Your fleet's wallet is frozen. Call your dispatcher."),
}
NOT_NOW = _("This cannot be done now (%(code)s). Call your dispatcher.")

COMMANDS: dict[tuple[str, str], str | Promise] = {
    ("start", "asked"): _("The charger is asked to start."),
    ("start", "accepted"): _("The charger is ready: plug in now."),
    ("start", "no_session"): _("The charger was ready, but nothing began. Is the plug in to the stop?"),
    ("start", "refused"): _("The charger did not start. Try the plug again, or report it."),
    ("stop", "asked"): _("The charger is asked to stop."),
    ("stop", "accepted"): _("The charger stops."),
    ("stop", "refused"): _("The charger did not stop. Use its own button."),
}


def script_texts() -> dict[str, str | Promise]:
    """What the page's script says."""
    return {
        "asOf": _("As of {time}"),
        "offline": _("No connection. This is what we knew at {time}."),
        "over": _("This link has ended. Ask your dispatcher for a new one."),
        "copied": _("Copied"),
        "noCamera": _("The camera cannot be used. Type the code instead."),
        "point": _("Point the camera at the code on the plug."),
        "mapLabel": _("Map of the way to your plug. The same is told in words above."),
        "notSent": _("No connection: that was not sent. Try again."),
    }
