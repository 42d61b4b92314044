"""Every sentence the dashboard's scripts say, translated on the server; `{name}` marks what the script fills in."""

from django.utils.translation import gettext as _


def script_texts() -> dict[str, str]:
    return {
        **_feed(),
        **_fleet(),
        **_queue(),
        **_late(),
        **_deeds(),
        **_refusals(),
        **_palette(),
        **_map(),
        **_replay(),
        **_overlays(),
    }


def _feed() -> dict[str, str]:
    return {
        "live": _("Live · {age} s"),
        "livePositions": _("Live · newest position {age} old"),
        "connecting": _("Connecting"),
        "refused": _("Not live"),
        "reconnecting": _("Reconnecting · {seconds} s"),
        "banner": _("Reconnecting… showing positions as of {time}. Changes you make are queued."),
        "bannerStill": _("No connection for {minutes} min. Showing the state of {time}; ages keep counting."),
        "banner.refused": _("This account may not watch the fleet live. Showing the state of {time}."),
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
        "source.measured": _("Measured"),
        "source.charger": _("From the charger"),
        "source.driver": _("Told by the driver"),
        "source.estimated": _("Estimated"),
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
        "planB": _("Plan B: {station}"),
        "noPlanB": _("No plan B: no other charger in reach of it"),
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
        "undoneLost": _("Taken back. No longer to be had: {places}."),
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
        "driverLink": _("Driver's link"),
        "linkCopied": _("The driver's link of {plate} is copied: it needs no login and ends at {time}."),
    }


def _late() -> dict[str, str]:
    """Of decisions that waited for the connection. The first seven are put in the place of `{what}`."""
    return {
        "late.accept": _("Accepting the reroute of {plate}"),
        "late.dismiss": _("Dismissing the reroute of {plate}"),
        "late.undo": _("Taking back what was decided about {plate}"),
        "late.snooze": _("Snoozing “{title}”"),
        "late.wake": _("Showing “{title}” again"),
        "late.reserve": _("Reserving bay {bay} for {plate}"),
        "late.giveUp": _("Giving a reservation up"),
        "late.done": _("Done now that the connection is back: {what}."),
        "late.refused": _("Not done: {what}. {why}"),
        "late.changed": _("The plan was changed meanwhile."),
        "understood": _("Understood"),
    }


def _deeds() -> dict[str, str]:
    return {
        "holding": _("Bay {bay} is being held for {plate}."),
        "deed.hold.done": _("Bay {bay} is reserved for {plate} until {time}."),
        "deed.hold.soft": _(
            "Bay {bay} is held for {plate} until {time} by FleetCharge: {network} takes no reservations."
        ),
        "deed.hold.refused": _("{network} refused bay {bay} for {plate}."),
        "deed.book.title": _("Book bay {bay} for {plate}"),
        "deed.book.yes": _("Book"),
        "deed.book.booking": _("{network} books the time slot."),
        "deed.book.network": _("FleetCharge keeps it for your vehicle, and asks {network} half an hour before."),
        "deed.book.soft": _("{network} takes no reservations: your other vehicles stay away, but strangers may come."),
        "deed.book.done": _("Bay {bay} is booked for {plate}, {from} to {time}."),
        "deed.replace.title": _("Move {plate} to bay {bay}?"),
        "deed.replace.text": _("{plate} has another place at that time. It is given up if bay {bay} is to be had."),
        "deed.replace.yes": _("Give it up and reserve"),
        "deed.extend.title": _("Keep bay {bay} for longer?"),
        "deed.extend.text": _("{plate} has it until {time}."),
        "deed.extend.yes": _("Extend"),
        "deed.extend.done": _("Bay {bay} is kept for {plate} until {time}."),
        "deed.extend.refused": _("{network} does not keep bay {bay} for longer than {time}."),
        "deed.cancel.title": _("Give bay {bay} up?"),
        "deed.cancel.text": _("{plate} loses its place; others may take it at once."),
        "deed.cancel.yes": _("Give it up"),
        "deed.cancel.done": _("Bay {bay} is given up."),
        "deed.start.title": _("Start charging {plate} at bay {bay}?"),
        "deed.start.text": _(
            "{network} asks {price} per kWh before GST; your fleet pays. The vehicle must be plugged in."
        ),
        "deed.start.noPrice": _("{network} tells no price; your fleet pays. The vehicle must be plugged in."),
        "deed.start.yes": _("Start charging"),
        "deed.start.done": _("{plate} is charging at bay {bay}."),
        "deed.start.refused": _("{network} refused to start charging {plate}."),
        "deed.start.nothing": _("{network} accepted, but no session began. Is {plate} plugged in?"),
        "deed.stop.title": _("Stop charging at bay {bay}?"),
        "deed.stop.text": _("{plate} has drawn {energy}. The session ends and is billed."),
        "deed.stop.yes": _("Stop charging"),
        "deed.stop.done": _("The session at bay {bay} has ended."),
        "deed.stop.refused": _("{network} refused to stop the session at bay {bay}."),
        "deed.unlock.title": _("Unlock bay {bay}?"),
        "deed.unlock.text": _(
            "{network} frees the cable. Only when somebody stands beside it: a session there may end."
        ),
        "deed.unlock.yes": _("Unlock"),
        "deed.unlock.done": _("Bay {bay} is unlocked."),
        "deed.unlock.refused": _("{network} did not unlock bay {bay}."),
        "deed.limit.title": _("Limit {plate} at bay {bay}?"),
        "deed.limit.text": _("{network} lets it draw no more than this until the session ends. Empty lifts the limit."),
        "deed.limit.yes": _("Limit"),
        "deed.limit.done": _("{plate} draws {power} kW at most."),
        "deed.limit.refused": _("{network} refused to limit {plate}."),
        "deed.unlimit.done": _("The limit of {plate} is lifted."),
        "deed.unlimit.refused": _("{network} refused to lift the limit of {plate}."),
        "deed.outlook.title": _("Ask what {plate} will be given?"),
        "deed.outlook.text": _("{network} says how much power the session gets in the next hour. Nothing changes."),
        "deed.outlook.yes": _("Ask"),
        "deed.outlook.done": _("{network} told what {plate} will be given; it stands at bay {bay}."),
        "deed.outlook.refused": _("{network} does not say what {plate} will be given."),
        "deed.prefer.title": _("When must {plate} be ready?"),
        "deed.prefer.text": _("{network} plans the session by what you say, as far as it can."),
        "deed.prefer.yes": _("Tell the network"),
        "deed.prefer.done": _("{network} charges {plate} as you wish."),
        "deed.prefer.refused": _("{network} cannot promise that for {plate}."),
        "deed.word.title": _("What does {plate} show?"),
        "deed.word.text": _(
            "The charge that the driver reads off it now; later ones are estimated from the kilometres."
        ),
        "deed.word.yes": _("Save"),
        "deed.word.done": _("{plate} has {percent} %."),
        "tick.done": _("{name} is ticked off."),
        "tick.undone": _("{name} is to be visited again."),
        "deed.command.silent": _("{network} did not answer; it may still happen."),
    }


def _refusals() -> dict[str, str]:
    """By the API's code."""
    return {
        "refused.connector_taken": _("This bay is promised to another vehicle at that time."),
        "refused.vehicle_has_place": _("This vehicle has another place at that time."),
        "refused.reservation_over": _("This reservation is over."),
        "refused.no_token": _("Neither the vehicle nor its driver has a token to charge with."),
        "refused.not_supported": _("This network cannot be told to do that."),
        "refused.reserved": _("This bay is reserved for another vehicle."),
        "refused.not_yours": _("None of your vehicles has charged here in the last two hours."),
        "refused.in_progress": _("That is being done already."),
        "refused.not_running": _("This session is not running any more."),
        "refused.newer_reading": _("The charge was read later than that."),
        "refused.undo_too_late": _("Undo lasts ten seconds; they were over."),
        "refused.connector_lost": _("This bay is out of order now."),
        "refused.too_old": _("It had waited for more than 15 minutes without a connection."),
        "refused.decided_by_another": _("Somebody else has signed in here meanwhile."),
        "refused.no_line": _("There is no connection just now. Nothing was done."),
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
        "openWallet": _("Open the wallet"),
        "topUp": _("Top up the wallet"),
        "keys": _("Show all keys"),
    }


def _map() -> dict[str, str]:
    return {
        "mapLabel": _("Live map. Everything on it is also in the fleet list and the queue."),
        "stationTip": _("{network} · {free} of {total} free · up to {kw} kW"),
        "vehicleTip": _("{soc} · {note}"),
        "cell.fleet": _("Vehicles: {count}"),
        "cell.needing": _("Vehicles: {count} · need a person: {needing}"),
        "cell.sites": _("Stations: {sites} · {free} of {plugs} plugs free"),
        "cell.closer": _("Press to come closer"),
        "closed": _("Close"),
        "loading": _("Loading…"),
        "loadFailed": _("This could not be loaded."),
        "retry": _("Try again"),
    }


def _replay() -> dict[str, str]:
    return {
        "replay.open": _("Replay the last two hours"),
        "replay.play": _("Play"),
        "replay.pause": _("Pause"),
        "replay.begun": _("Replay: the map shows the past. The queue stays live."),
        "replay.over": _("The map is live again."),
        "replay.failed": _("The past could not be loaded."),
        "replay.part": _("Not all vehicles and plugs; zoom in for the others."),
    }


def _overlays() -> dict[str, str]:
    return {
        "overlay.held": _("{plate} · bay {bay} until {time}"),
        "overlay.booked": _("{plate} · bay {bay} from {time}"),
        "overlay.more": _("{count} reservations"),
        "overlay.gap": _("{km} km away"),
    }
