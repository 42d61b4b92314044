"""How far a poll is and how the last one went, in a line for people."""

from datetime import datetime

from django.utils.formats import date_format
from django.utils.timezone import localtime
from django.utils.translation import gettext as _

from stations.models import PollRun, Source


def going_on(source: Source, now: datetime) -> str:
    """`locations: page 3 of 12, 300 objects so far, since 14:02:11`; a dash while nobody polls."""
    run = _run_of(source)
    if run is None or run.began_at is None or not run.is_running(now):
        return "–"
    words = {
        "list": run.part or "…", "page": run.page, "pages": run.pages, "objects": run.read,
        "refused": run.refused, "since": date_format(localtime(run.began_at), "H:i:s"),
    }  # fmt: skip
    if run.pages:
        text = _("%(list)s: page %(page)s of %(pages)s, %(objects)s objects so far, since %(since)s") % words
    else:
        text = _("%(list)s: page %(page)s, %(objects)s objects so far, since %(since)s") % words
    refused = _("%(refused)s refused") % words if run.refused else ""
    return ", ".join(filter(None, [text, refused, _("the whole list") if run.is_full else ""]))


def last_run(source: Source) -> str:
    """`Done 14:02 in 3.1 s: 300 objects, 12 sites written, 1 refused`; a dash before the first one."""
    run = _run_of(source)
    if run is None or run.last_ended_at is None:
        return "–"
    words = {
        "result": run.get_last_result_display(), "seconds": run.last_seconds, "objects": run.last_read,
        "at": date_format(localtime(run.last_ended_at), "j M H:i"), "written": run.last_written,
        "refused": run.last_refused,
    }  # fmt: skip
    text = _("%(result)s %(at)s in %(seconds)s s: %(objects)s objects, %(written)s sites written, %(refused)s refused")
    return text % words + (f", {_('the whole list')}" if run.last_was_full else "")


def _run_of(source: Source) -> PollRun | None:
    run: PollRun | None = getattr(source, "poll_run", None) if source.pk else None
    return run
