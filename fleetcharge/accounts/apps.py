from django.apps import AppConfig


class AccountsConfig(AppConfig):
    name = "fleetcharge.accounts"
    label = "accounts"
    default_auto_field = "django.db.models.BigAutoField"
