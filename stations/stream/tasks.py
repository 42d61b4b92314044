"""What readers of changes no longer need."""

from celery import shared_task
from django.db import connection

from stations import changes


@shared_task
def forget_changes() -> int:
    """Notes older than any ETag that may still be asked about; an ETag lives a minute."""
    with connection.cursor() as cursor:
        cursor.execute(changes.FORGET)
        return int(cursor.rowcount)
