from django.apps import AppConfig


class WebhooksConfig(AppConfig):
    name = "fleetcharge.webhooks"
    label = "webhooks"
    verbose_name = "Webhooks"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fleetcharge.webhooks import handlers  # noqa: F401  (registers subscribers)
