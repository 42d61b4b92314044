"""The Celery worker of `make run`: beat as a thread that cannot die alone, and a sign of life for the supervisor."""

from typing import Any

from celery.beat import EmbeddedService
from celery.signals import heartbeat_sent, worker_ready, worker_shutdown

from fleetcharge.celery import app as app
from fleetcharge.embedded.home import var_dir

SIGN_OF_LIFE = var_dir() / "worker.alive"
_beat: Any = EmbeddedService(app, thread=True, schedule_filename=str(var_dir() / "celerybeat-schedule"))


def start_beat(**kwargs: Any) -> None:
    _beat.start()
    SIGN_OF_LIFE.touch()


def show_life(**kwargs: Any) -> None:
    """Sent every 2 s by the loop that takes in tasks, so a hung loop falls silent."""
    if _beat.is_alive():
        SIGN_OF_LIFE.touch()


def stop_beat(**kwargs: Any) -> None:
    _beat.stop()


worker_ready.connect(start_beat)
heartbeat_sent.connect(show_life)
worker_shutdown.connect(stop_beat)
