"""Every sentence the dashboard's scripts say, translated on the server; `{name}` marks what the script fills in."""

from django.utils.translation import gettext as _


def script_texts() -> dict[str, str]:
    return {
        **_feed(),
        **_fleet(),
        **_queue(),
        **_palette(),
        **_map(),
    }


def _feed() -> dict[str, str]:
    return {
        "live": _("Live · {age} s"),
        "connecting": _("Connecting"),
        "reconnecting": _("Reconnecting · {seconds} s"),
        "banner": _("Reconnecting… showing positions as of {time}. Changes you make are queued."),
        "bannerStill": _("No connection for {minutes} min. Showing the state of {time}; ages keep counting."),
        "resynced": _("Connected again."),
        "noStatic": _("Names could not be loaded. Trying again."),
    }


def _fleet() -> dict[str, str]:
    return {
        "group.low": _("Below {percent} %"),
        "group.charging": _("Charging"),
        "group.driving": _("On road"),
        "group.parked": _("Parked"),
        "group.offline": _("No signal"),
        "note.charging": _("Charging"),
        "note.chargingPower": _("Charging with {kw} kW"),
        "note.offline": _("No signal"),
        "note.next": _("Next stop {name}"),
        "note.waiting": _("Waiting for your decision"),
        "note.arrives": _("Rerouted, arrives {time}"),
        "note.rerouted": _("Rerouted"),
        "note.low": _("Low charge"),
        "note.parked": _("Parked"),
        "note.driving": _("On road"),
        "km": _("{km} km"),
        "emptyFilter": _("No vehicle matches."),
        "clearFilter": _("Show all"),
        "rowLabel": _("{plate}, {soc}, {note}"),
        "socUnknown": _("charge unknown"),
    }


def _queue() -> dict[str, str]:
    return {
        "accept": _("Accept reroute"),
        "options": _("Options"),
        "snooze": _("Snooze 15 minutes"),
        "dismiss": _("Dismiss"),
        "review": _("Review"),
        "open": _("Open"),
        "show": _("Show"),
        "delay": _("delay"),
        "detour": _("detour"),
        "plugIn": _("plug in"),
        "toSoc": _("to {percent} %"),
        "price": _("price"),
        "minutes": _("+{minutes} min"),
        "detourKm": _("+{km} km"),
        "arrivesWith": _("Arrives with {percent} % left"),
        "suggested": _("Suggested reroute"),
        "now": _("Now, {percent} %"),
        "bay": _("{station}, bay {bay}"),
        "ago": _("{age} ago"),
        "oldest": _("Oldest {age}"),
        "agoMinutes": _("{minutes} min"),
        "agoHours": _("{hours} h"),
        "queueEmpty": _("Nothing needs you"),
        "queueEmptyBody": _("Vehicles that will not reach, blocked bays and held money appear here."),
        "accepted": _("Reroute of {plate} accepted."),
        "dismissed": _("Reroute of {plate} dismissed."),
        "snoozed": _("Snoozed for 15 minutes."),
        "undo": _("Undo"),
        "undoSeconds": _("Undo · {seconds}"),
        "undone": _("Taken back."),
        "queued": _("Queued until the connection is back"),
        "failed": _("That did not work: {detail}"),
        "gone": _("Somebody else already decided this."),
        "announce": _("Needs you: {title}"),
        "reserved": _("Bay {bay} is being reserved for {plate}."),
        "nothingToUndo": _("There is nothing to take back."),
        "optionFree": _("free now"),
        "optionWait": _("wait {minutes} min"),
        "noOptions": _("No other charger in reach."),
        "readOnly": _("Your role may look, not decide."),
    }


def _palette() -> dict[str, str]:
    return {
        "stations": _("Stations"),
        "vehicles": _("Vehicles"),
        "actions": _("Actions"),
        "follow": _("Follow"),
        "freeOf": _("{free} of {total} free"),
        "noFree": _("No report"),
        "reserveAt": _("Reserve a bay at {name}"),
        "sendNearest": _("Send the nearest vehicle below {percent} % to {name}"),
        "noNearest": _("No vehicle below {percent} % is near."),
        "noneFree": _("No bay is free at {name}."),
        "pickVehicle": _("Reserve for which vehicle?"),
        "find": _("Find a vehicle, station, driver…"),
        "found": _("{count} items · searched in {ms} ms"),
        "nothing": _("Nothing found for “{query}”."),
        "switchTheme": _("Switch between light and dark"),
        "showAll": _("Show all vehicles"),
        "openStations": _("Open the list of stations"),
        "keys": _("Show all keys"),
    }


def _map() -> dict[str, str]:
    return {
        "baseSchematic": _("Schematic basemap"),
        "baseTiles": _("Map tiles"),
        "attribution": _("Schematic basemap · no tiles loaded"),
        "mapLabel": _("Live map. Everything on it is also in the fleet list and the queue."),
        "stationTip": _("{network} · {free} of {total} free · up to {kw} kW"),
        "vehicleTip": _("{soc} · {note}"),
        "closed": _("Close"),
        "loadFailed": _("This could not be loaded."),
        "retry": _("Try again"),
    }
