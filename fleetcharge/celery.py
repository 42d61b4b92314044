"""Celery: a trigger, never the truth. Work that must happen is a row; every beat entry is a sweep over such rows."""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import celeryd_after_setup

from fleetcharge.lib.schedules import spread_out
from fleetcharge.lib.tuning import tune_for_quick_answers

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "fleetcharge.settings")
app = Celery("fleetcharge")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
app.autodiscover_tasks(
    [
        "stations.stream",
        "stations.health",
        "dispatch.depot",
        "dispatch.driving",
        "dispatch.forecasts",
        "dispatch.onboarding",
        "dispatch.policies",
        "dispatch.speeds",
        *(f"billing.{name}" for name in ("approvals", "payments", "invoicing", "notices", "prices")),
    ]
)

SCHEDULE: dict[str, dict[str, Any]] = {
    "poll-networks": {"task": "stations.tasks.poll_due_sources", "schedule": 15.0},
    "ubc-sweep": {"task": "stations.cpo.ubc.tasks.sweep_ubc", "schedule": 5.0},
    "ubc-prune": {"task": "stations.cpo.ubc.tasks.prune_ubc", "schedule": 3600.0},
    "forget-changes": {"task": "stations.stream.tasks.forget_changes", "schedule": 300.0},
    "feed-sweep": {"task": "stations.cpo.webhooks.tasks.sweep_feeds", "schedule": 10.0},
    "feed-prune": {"task": "stations.cpo.webhooks.tasks.prune_feeds", "schedule": 3600.0},
    "forget-idempotency-keys": {"task": "fleetcharge.accounts.tasks.forget_idempotency_keys", "schedule": 3600.0},
    "decay-status": {"task": "stations.tasks.sweep_silent_chargers", "schedule": 20.0},
    "charger-health": {"task": "stations.health.tasks.judge_chargers", "schedule": 900.0},
    "charger-health-prune": {"task": "stations.health.tasks.forget_days", "schedule": crontab(hour=20, minute=50)},
    "duplicate-sites": {"task": "stations.tasks.find_duplicates", "schedule": 3600.0},
    "position-partitions": {"task": "vehicles.tasks.keep_partitions", "schedule": 3600.0},
    "vehicle-loop": {"task": "vehicles.tasks.follow_vehicles", "schedule": 15.0},
    "geofences": {"task": "vehicles.tasks.follow_geofences", "schedule": 5.0},
    "vehicle-days": {"task": "vehicles.tasks.make_days", "schedule": 60.0},
    "low-soc-sweep": {"task": "dispatch.tasks.sweep_low_vehicles", "schedule": 10.0},
    "speed-laws": {"task": "dispatch.speeds.tasks.learn_speeds", "schedule": crontab(hour=22, minute=40)},
    "ways-ahead": {"task": "dispatch.tasks.sweep_ways_ahead", "schedule": 30.0},
    "reservation-sweep": {"task": "dispatch.tasks.sweep_reservations", "schedule": 10.0},
    "drive-sweep": {"task": "dispatch.driving.tasks.sweep_drives", "schedule": 10.0},
    "session-command-sweep": {"task": "dispatch.tasks.sweep_commands", "schedule": 10.0},
    "breach-sweep": {"task": "dispatch.tasks.sweep_breaches", "schedule": 10.0},
    "depot-nights": {"task": "dispatch.depot.tasks.plan_nights", "schedule": 60.0},
    "demo-data": {"task": "dispatch.onboarding.tasks.tell_samples", "schedule": 60.0},
    "plan-outcomes": {"task": "dispatch.policies.tasks.record_outcomes", "schedule": 600.0},
    "experiment-draw": {"task": "dispatch.policies.tasks.draw_new_vehicles", "schedule": 600.0},
    "learn": {"task": "dispatch.forecasts.tasks.learn", "schedule": crontab(hour=20, minute=10)},  # 01:40 in India
    "forecasts": {"task": "dispatch.forecasts.tasks.forecast_plugs", "schedule": crontab(minute=2)},
    "forecast-scores": {"task": "dispatch.forecasts.tasks.score_forecasts", "schedule": 300.0},
    "alert-sweep": {"task": "dispatch.tasks.sweep_alerts", "schedule": 30.0},
    "job-sweep": {"task": "billing.tasks.work_jobs", "schedule": 15.0},
    "rate-sweep": {"task": "billing.tasks.sweep_unrated", "schedule": 10.0},
    "pending-sessions": {"task": "stations.tasks.watch_pending_sessions", "schedule": 60.0},
    "roaming-sweep": {"task": "billing.tasks.sweep_roaming", "schedule": 60.0},
    "missed-records": {"task": "billing.tasks.find_missed_records", "schedule": 3600.0},
    "reconcile-sweep": {"task": "billing.tasks.sweep_unreconciled", "schedule": 10.0},
    "station-points": {"task": "billing.tasks.learn_station_points", "schedule": 3600.0},
    "session-sweep": {"task": "billing.tasks.sweep_sessions", "schedule": 60.0},
    "books-proof": {"task": "billing.tasks.prove_books", "schedule": crontab(hour=21, minute=10)},  # 02:40 in India
    "e-invoice-sweep": {"task": "billing.invoicing.tasks.sweep_e_invoices", "schedule": 60.0},
    "receipt-vouchers": {"task": "billing.invoicing.tasks.sweep_advances", "schedule": 300.0},
    "subscription-fees": {"task": "billing.prices.tasks.charge_subscriptions", "schedule": 900.0},
    "hold-sweep": {"task": "billing.tasks.sweep_holds", "schedule": 60.0},
    "frame-partitions": {"task": "ocpp_bridge.tasks.keep_frames", "schedule": 3600.0},
    "session-bounds": {"task": "billing.tasks.stop_exhausted_sessions", "schedule": 15.0},
    "approvals-expire": {"task": "billing.approvals.tasks.expire_approvals", "schedule": 600.0},
    "letters": {"task": "billing.notices.tasks.send_letters", "schedule": 30.0},
    "letters-prune": {"task": "billing.notices.tasks.forget_letters", "schedule": 86_400.0},
    "payment-inbox": {"task": "billing.payments.tasks.work_inbox", "schedule": 5.0},
    "payment-sweep": {"task": "billing.payments.tasks.sweep_payments", "schedule": 15.0},
    "auto-top-up-sweep": {"task": "billing.payments.tasks.sweep_auto_top_ups", "schedule": 60.0},
    "payment-inbox-prune": {"task": "billing.payments.tasks.prune_inbox", "schedule": 86_400.0},
    "settlement-import": {"task": "billing.payments.tasks.import_settlements", "schedule": 3600.0},
    "prune-authorisations": {"task": "billing.tasks.prune_authorisations", "schedule": 600.0},
    "network-bills": {"task": "billing.tasks.work_network_bills", "schedule": 5.0},
    "forget-bill-files": {"task": "billing.tasks.forget_bill_files", "schedule": 3600.0},
    "certificate-sweep": {"task": "ocpp_bridge.tasks.sweep_certificates", "schedule": 10.0},
    "configuration-sweep": {"task": "ocpp_bridge.tasks.sweep_configurations", "schedule": 15.0},
    "local-lists": {"task": "ocpp_bridge.tasks.sweep_local_lists", "schedule": 30.0},
    "report-sweep": {"task": "ocpp_bridge.tasks.sweep_reports", "schedule": 60.0},
    "charger-facts": {"task": "ocpp_bridge.tasks.forget_facts", "schedule": crontab(hour=20, minute=40)},
    "charging-sweep": {"task": "ocpp_bridge.tasks.sweep_charging", "schedule": 10.0},
    "webhook-sweep": {"task": "fleetcharge.webhooks.tasks.send_due", "schedule": 5.0},
    "webhook-retention": {"task": "fleetcharge.webhooks.tasks.forget_old", "schedule": 3600.0},
    "command-sweep": {"task": "ocpp_bridge.tasks.sweep_commands", "schedule": 10.0},
}
app.conf.beat_schedule = spread_out(SCHEDULE)


def be_quick(**_: Any) -> None:
    """In the worker, before it has threads or children."""
    tune_for_quick_answers()


celeryd_after_setup.connect(be_quick)
