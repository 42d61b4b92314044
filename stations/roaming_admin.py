"""What other networks told of our vehicles, on the desk: sessions, CDRs, conflicts, bookings and invoices."""

from django.contrib import admin

from fleetcharge.accounts.admin import ReadOnlyAdmin
from stations.cpo.ocpi.models import CDRConflict, PeerDocument, RoamingCDR, RoamingSession
from stations.ubc_admin import OwnNetworks


@admin.register(RoamingSession)
class RoamingSessionAdmin(OwnNetworks, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    list_display = ["started_at", "key", "source", "status", "token_uid", "connector", "energy_wh", "updated_at"]
    list_filter = ["status"]
    list_select_related = ["source", "connector"]
    search_fields = ["key", "token_uid", "authorization_reference"]


@admin.register(RoamingCDR)
class RoamingCDRAdmin(OwnNetworks, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    list_display = [
        "started_at", "key", "source", "token_uid", "energy_wh", "total_before_taxes", "total_after_taxes", "currency",
        "is_credit",
    ]  # fmt: skip
    list_filter = ["is_credit"]
    list_select_related = ["source"]
    search_fields = ["key", "session_ref", "token_uid", "authorization_reference", "credit_reference"]


@admin.register(CDRConflict)
class CDRConflictAdmin(OwnNetworks, ReadOnlyAdmin):
    organisation_path = "cdr__source__organisation"
    list_display = ["received_at", "cdr"]
    list_select_related = ["cdr"]
    search_fields = ["cdr__key"]


@admin.register(PeerDocument)
class PeerDocumentAdmin(OwnNetworks, ReadOnlyAdmin):
    organisation_path = "source__organisation"
    list_display = ["received_at", "kind", "key", "source", "state", "reference", "is_deleted"]
    list_filter = ["kind", "state", "is_deleted"]
    list_select_related = ["source"]
    search_fields = ["key", "reference"]
