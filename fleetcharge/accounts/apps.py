from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "fleetcharge.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        from fleetcharge.accounts import openapi  # noqa: F401  (registers the key's scheme)
