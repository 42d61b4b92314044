"""What our codes of pushes and their entries mean, for people."""

from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

LAG, POLLED = "lag_", "polled_"
OF_ENTRIES = {
    "applied": _("applied"),
    "unchanged": _("nothing new"),
    "stale": _("older than what we hold"),
    "ignored": _("says nothing of a status"),
    "unknown_word": _("applied; its status is a word we do not know"),
    "unknown_evse": _("we hold no EVSE of this id"),
    "bad_entry": _("cannot be read"),
    "bad_id": _("its id is too long"),
    "bad_power": _("its power is no charger's"),
    "bad_site": _("its site cannot be kept"),
    "bad_time": _("its time cannot be read"),
    "no_evse": _("it names no EVSE"),
    "no_last_updated": _("a PATCH without last_updated"),
    "no_position": _("its position is nowhere on earth"),
    "no_site": _("it names no site"),
    "no_status": _("it tells no status"),
    "too_many_evses": _("a site of too many EVSEs"),
}
OF_PUSHES = {
    "pushes": _("pushes"),
    "queued": _("pushes applied later, being long"),
    "duplicate": _("pushes we had already"),
    "clock_ahead": _("times ahead of our clock"),
    "not_json": _("the body is not JSON"),
    "bad_mapping": _("the mapping cannot be used"),
    "no_entries": _("no entries where the mapping says"),
    "too_many_entries": _("too many entries at once"),
    "unusable": _("the database cannot take it"),
    "method_not_allowed": _("neither POST, PUT nor PATCH"),
    "wrong_address": _("from an address that is not the vendor's"),
    "no_signature": _("not signed"),
    "wrong_signature": _("wrong signature"),
    "no_event_id": _("the signed id is missing"),
    "no_timestamp": _("the signed time is missing"),
    "expired": _("sent too long ago, or too far ahead"),
    "throttled": _("too many pushes"),
}
WORDS = {**OF_ENTRIES, **OF_PUSHES}


def words(code: str) -> str:
    """A code nobody wrote words for is shown as it is."""
    if code.startswith(POLLED):
        return gettext("polled: %(words)s") % {"words": words(code.removeprefix(POLLED))}
    if code.startswith(LAG):
        step = code.removeprefix(LAG)
        return (
            gettext("kept within %(span)s") % {"span": span(int(step))} if step.isdecimal() else gettext("kept later")
        )
    return str(WORDS.get(code, code))


def span(milliseconds: int) -> str:
    """`50 ms`, `2 s`, `5 min`."""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    return f"{milliseconds / 1000:.0f} s" if milliseconds < 120_000 else f"{milliseconds / 60_000:.0f} min"
