"""Letters out of the outbox: claimed with SKIP LOCKED, handed over once; what may have been sent is not sent again."""

import logging
import smtplib
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMultiAlternatives, get_connection
from django.db import connection
from django.template.loader import render_to_string
from django.utils import translation

from billing.invoicing import files
from billing.invoicing.models import TaxDocument
from billing.notices.contents import content_of
from billing.notices.models import Letter

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


def _send(letter: Letter, now: datetime) -> bool:
    try:
        message = message_of(letter)
    except Exception as error:  # one letter that cannot be written must not keep the others
        logger.exception("letter %s cannot be written", letter.pk)
        return _end(letter, State.GIVEN_UP, f"{type(error).__name__}: {error}")
    server = get_connection()
    try:
        server.open()
    except OSError as error:  # smtplib's errors are among them; nothing was handed over
        return _again(letter, error, now)
    try:
        server.send_messages([message])
    except (smtplib.SMTPResponseException, smtplib.SMTPRecipientsRefused, smtplib.SMTPNotSupportedError) as error:
        return _again(letter, error, now)  # the server has said no
    except OSError as error:
        return _end(letter, State.UNSURE, f"{type(error).__name__}: {error}")
    finally:
        _close(server)
    Letter.objects.filter(pk=letter.pk).update(state=State.SENT, sent_at=now, error="")
    return True


def _close(server: object) -> None:
    try:
        server.close()  # type: ignore[attr-defined]
    except OSError:
        logger.info("the mail server did not say goodbye")


def _again(letter: Letter, error: Exception, now: datetime) -> bool:
    if letter.attempts >= MOST_ATTEMPTS:
        return _end(letter, State.GIVEN_UP, str(error))
    wait = FIRST_WAIT * int(2 ** min(letter.attempts, 9))
    Letter.objects.filter(pk=letter.pk).update(state=State.WAITING, next_try_at=now + wait, error=str(error)[:255])
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
