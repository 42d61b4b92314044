"""The project. Loading it makes our Celery app the one that `shared_task` uses in every process."""

from fleetcharge.celery import app as celery_app

__all__ = ["celery_app"]
