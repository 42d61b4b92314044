"""Learning by night, forecasting by the hour."""

from celery import shared_task
from django.utils import timezone

from dispatch.forecasts import forecasting, learning


@shared_task(time_limit=600)
def learn() -> None:
    """Each may run twice."""
    now = timezone.now()
    learning.learn_plugs(now=now)
    learning.learn_curves(now=now)
    learning.learn_calibrations(now=now)
    forecasting.forget_forecasts(now=now)


@shared_task
def forecast_plugs() -> int:
    return forecasting.make_forecasts(now=timezone.now())


@shared_task
def score_forecasts() -> int:
    return forecasting.score_forecasts(now=timezone.now())
