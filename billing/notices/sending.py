"""Letters out of the outbox: claimed with SKIP LOCKED, handed over once; what may have been sent is not sent again."""

import logging
import smtplib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import connection, transaction
from django.db.models import QuerySet
from django.template.loader import render_to_string
from django.utils import translation

from billing.events import LettersWaiting
from billing.invoicing import files
from billing.invoicing.models import TaxDocument
from billing.notices.contents import content_of
from billing.notices.models import Letter
from fleetcharge.accounts.models import User
from fleetcharge.accounts.services import audit
from fleetcharge.lib.events import publish

logger = logging.getLogger(__name__)
LEASE = timedelta(minutes=5)
FIRST_WAIT = timedelta(minutes=1)
MOST_ATTEMPTS = 10
KEEP_FOR = timedelta(days=400)
SMTP = "django.core.mail.backends.smtp.EmailBackend"
State = Letter.State

_CLAIM = """
UPDATE billing_letter SET state = 'sending', attempts = attempts + 1, next_try_at = %(lease)s
WHERE id = (
    SELECT id FROM billing_letter WHERE state = 'waiting' AND next_try_at <= %(now)s
    ORDER BY next_try_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
) RETURNING id
"""


def has_mail_server() -> bool:
    return settings.EMAIL_BACKEND != SMTP or bool(settings.EMAIL_HOST)


def work(*, now: datetime, limit: int = 200) -> int:
    """Send what waits; returns how many were sent. Not inside a transaction. Without a mail server they wait."""
    Letter.objects.filter(state=State.SENDING, next_try_at__lte=now).update(
        state=State.UNSURE, error="The worker ended while it was handed over."
    )
    if not has_mail_server():
        return 0
    sent = 0
    for _turn in range(limit):
        letter_id = _claim(now)
        if letter_id is None:
            break
        sent += _send(Letter.objects.select_related("organisation").get(pk=letter_id), now)
    return sent


def forget_old(*, now: datetime) -> int:
    """Letters that are done with and older than the books need; returns how many."""
    done = Letter.objects.exclude(state__in=[State.WAITING, State.SENDING]).filter(created_at__lt=now - KEEP_FOR)
    return done.delete()[0]


def _claim(now: datetime) -> int | None:
    with connection.cursor() as cursor:
        cursor.execute(_CLAIM, {"now": now, "lease": now + LEASE})
        row = cursor.fetchone()
    return int(row[0]) if row else None


def send_again(*, letters: QuerySet[Letter], actor: User | None, now: datetime) -> int:
    """A person wants those that were given up or may not have arrived to be sent after all; how many."""
    with transaction.atomic():
        rows = list(letters.filter(state__in=[State.GIVEN_UP, State.UNSURE]).select_for_update(of=("self",)))
        for letter in rows:
            audit(action="letter.send_again", target=letter, actor=actor, organisation=letter.organisation,
                  before={"state": letter.state, "error": letter.error})  # fmt: skip
        Letter.objects.filter(pk__in=[letter.pk for letter in rows]).update(
            state=State.WAITING, attempts=0, next_try_at=now, error=""
        )
        if rows:
            publish(LettersWaiting(len(rows)))
    return len(rows)


def _send(letter: Letter, now: datetime) -> bool:
    """What passes (a server that is away, slow, or says no) is tried again; only what may have arrived is not."""
    try:
        message = message_of(letter)
    except Exception as error:  # one letter that cannot be written must not keep the others
        logger.exception("letter %s cannot be written", letter.pk)
        return _again(letter, f"{type(error).__name__}: {error}", now)
    server = get_connection()
    try:
        server.open()
        has_left = _watched(server)
    except OSError as error:  # smtplib's errors are among them; nothing was handed over
        return _again(letter, str(error), now)
    try:
        server.send_messages([message])
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:
        return _again(letter, str(error), now)  # the server has said no
    except OSError as error:
        problem = f"{type(error).__name__}: {error}"
        return _end(letter, State.UNSURE, problem) if has_left() else _again(letter, problem, now)
    finally:
        _close(server)
    Letter.objects.filter(pk=letter.pk).update(state=State.SENT, sent_at=now, error="")
    return True


def _watched(server: object) -> Callable[[], bool]:
    """Says whether the letter itself has left: before that, a broken line means that nobody has it.

    smtplib sends commands as text, and the letter, once the server wants it, as bytes.
    """
    line, left = getattr(server, "connection", None), list[bool]()
    if not isinstance(line, smtplib.SMTP):
        return lambda: True
    plain = line.send

    def send(said: Any) -> None:
        if isinstance(said, bytes):
            left.append(True)
        plain(said)

    line.send = send  # type: ignore[method-assign, assignment]
    return lambda: bool(left)


def _close(server: object) -> None:
    try:
        server.close()  # type: ignore[attr-defined]
    except OSError:
        logger.info("the mail server did not say goodbye")


def _again(letter: Letter, error: str, now: datetime) -> bool:
    if letter.attempts >= MOST_ATTEMPTS:
        return _end(letter, State.GIVEN_UP, error)
    wait = FIRST_WAIT * int(2 ** min(letter.attempts, 9))
    Letter.objects.filter(pk=letter.pk).update(state=State.WAITING, next_try_at=now + wait, error=error[:255])
    return False


def _end(letter: Letter, state: str, error: str) -> bool:
    logger.warning("letter %s: %s", letter.pk, error)
    Letter.objects.filter(pk=letter.pk).update(state=state, error=error[:255])
    return False


def message_of(letter: Letter) -> EmailMultiAlternatives:
    """Text and HTML, in the reader's language; the same letter has the same Message-ID for ever."""
    known = {code for code, _name in settings.LANGUAGES}
    with translation.override(letter.language if letter.language in known else settings.LANGUAGE_CODE):
        content = content_of(letter)
        context = {"content": content, "organisation": letter.organisation, "language": translation.get_language()}
        host = settings.DEFAULT_FROM_EMAIL.rpartition("@")[2].strip("> ") or "localhost"
        message = EmailMultiAlternatives(
            subject=" ".join(content.subject.split())[:150], body=render_to_string("emails/letter.txt", context),
            to=[letter.address], headers={"Message-ID": f"<letter-{letter.pk}-{letter.kind}@{host}>"},
        )  # fmt: skip
        message.attach_alternative(render_to_string("emails/letter.html", context), "text/html")
    if letter.kind == Letter.Kind.INVOICE_ISSUED:
        _attach(message, int(letter.facts["id"]))
    return message


def _attach(message: EmailMultiAlternatives, document_id: int) -> None:
    document = TaxDocument.objects.select_related(
        "organisation", "registration", "original", "month", "e_invoice", "supplier"
    ).get(pk=document_id)  # fmt: skip
    for form in ("pdf", "csv") if document.annexure_rows else ("pdf",):
        file = files.OF_A_DOCUMENT[form](document)
        message.attach(file.name, file.read(), file.content_type.partition(";")[0])
