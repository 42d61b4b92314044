"""The shapes of tax documents in the API; amounts in paise."""

from typing import Any

from rest_framework import serializers

from billing.invoicing.models import DocumentLine, TaxDocument


class PartySerializer(serializers.Serializer[Any]):
    """As printed on the document; `gstin` is empty where the party is not registered."""

    legal_name = serializers.CharField()
    gstin = serializers.CharField()
    address = serializers.CharField()
    city = serializers.CharField()
    pin_code = serializers.CharField()
    state_code = serializers.CharField()


class DocumentSerializer(serializers.ModelSerializer[TaxDocument]):
    """`charged_paise` was taken session by session before; the rest of `total_paise` was settled by the document."""

    recipient_gstin = serializers.CharField(source="recipient_facts.gstin")
    supplier_gstin = serializers.CharField(source="supplier_facts.gstin")
    original = serializers.CharField(source="original.number", default=None, allow_null=True)
    period = serializers.DateField(
        source="month.starts_on", default=None, allow_null=True, help_text="First day of the month it bills."
    )
    irn = serializers.SerializerMethodField(help_text="Empty until the portal has signed it.")
    sessions = serializers.IntegerField(source="annexure_rows")

    class Meta:
        model = TaxDocument
        fields = [
            "id", "kind", "number", "dated_on", "period", "supplier_gstin", "recipient_gstin", "place_of_supply",
            "supply_kind", "state_head", "currency", "taxable_paise", "cgst_paise", "sgst_paise", "igst_paise",
            "round_off_paise", "total_paise", "charged_paise", "advance_paise", "original", "reason", "sessions",
            "annexure_sha256", "irn", "issued_at",
        ]  # fmt: skip

    def get_irn(self, document: TaxDocument) -> str:
        """A document that needs none has no row at all, which is not `null`."""
        e_invoice = getattr(document, "e_invoice", None)
        return e_invoice.irn if e_invoice else ""


class LineSerializer(serializers.ModelSerializer[DocumentLine]):
    total_paise = serializers.IntegerField()

    class Meta:
        model = DocumentLine
        fields = [
            "position", "description", "sac_code", "site", "network", "component", "quantity", "unit", "sessions",
            "rate_percent", "taxable_paise", "cgst_paise", "sgst_paise", "igst_paise", "total_paise",
        ]  # fmt: skip


class DocumentDetailSerializer(DocumentSerializer):
    supplier = PartySerializer(source="supplier_facts")
    recipient = PartySerializer(source="recipient_facts")
    lines = LineSerializer(many=True)

    class Meta(DocumentSerializer.Meta):
        fields = [*DocumentSerializer.Meta.fields, "supplier", "recipient", "lines"]
