"""The command ledger for people: looked at, never edited."""

from django.contrib import admin
from django.http import HttpRequest
from unfold.admin import ModelAdmin

from ocpp_bridge.models import Command


@admin.register(Command)
class CommandAdmin(ModelAdmin):
    list_display = ["created_at", "charger", "action", "state", "reason", "actor", "answered_at"]
    list_filter = ["state", "action"]
    list_select_related = ["charger"]
    search_fields = ["charger__ocpp_identity", "idempotency_key", "actor"]
    readonly_fields = [field.name for field in Command._meta.fields]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Command | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Command | None = None) -> bool:
        return False
