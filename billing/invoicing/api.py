"""A fleet's invoices, vouchers and notes over the API, with their files."""

import django_filters
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import generics
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.views import APIView

from billing.api import BillingView
from billing.invoicing import files
from billing.invoicing.models import TaxDocument
from billing.invoicing.serializers import DocumentDetailSerializer, DocumentSerializer

DOCUMENTS = TaxDocument.objects.select_related("original", "month", "e_invoice")


class DocumentFilter(django_filters.FilterSet):
    """`?kind=invoice&dated_after=2026-11-01&number=FC/26-27/0000001`"""

    dated_after = django_filters.DateFilter(field_name="dated_on", lookup_expr="gte")
    dated_before = django_filters.DateFilter(field_name="dated_on", lookup_expr="lt")
    recipient_gstin = django_filters.CharFilter(field_name="recipient_facts__gstin")

    class Meta:
        model = TaxDocument
        fields = ["kind", "number", "dated_after", "dated_before", "recipient_gstin"]


class InvoiceList(BillingView, generics.ListAPIView[TaxDocument]):
    """Invoices, receipt and refund vouchers, credit and debit notes, newest first."""

    queryset = DOCUMENTS
    serializer_class = DocumentSerializer
    filterset_class = DocumentFilter


class InvoiceDetail(BillingView, generics.RetrieveAPIView[TaxDocument]):
    """One document with its parties and lines."""

    queryset = DOCUMENTS.prefetch_related("lines")
    serializer_class = DocumentDetailSerializer


class InvoiceFile(BillingView, APIView):
    """The document as PDF, its sessions as CSV or XLSX, or the e-invoice portal's JSON (INV-01)."""

    queryset = DOCUMENTS.select_related("supplier", "original", "month", "e_invoice")
    serializer_class = DocumentSerializer

    @extend_schema(
        operation_id="invoices_file",
        parameters=[
            OpenApiParameter("as", str, enum=list(files.OF_A_DOCUMENT), description="pdf unless asked otherwise.")
        ],
        responses={
            (200, "application/pdf"): OpenApiResponse(OpenApiTypes.BINARY),
            (200, "text/csv"): OpenApiResponse(OpenApiTypes.STR),
            (200, files.XLSX): OpenApiResponse(OpenApiTypes.BINARY),
            (200, "application/json"): OpenApiResponse(OpenApiTypes.OBJECT),
        },
    )
    def get(self, request: Request, pk: int) -> HttpResponseBase:
        form = request.query_params.get("as", "pdf")
        if form not in files.OF_A_DOCUMENT:
            raise ValidationError({"as": [f"One of {', '.join(files.OF_A_DOCUMENT)}."]})
        document = self.get_object()
        if form == "json" and document.kind.endswith("voucher"):
            raise ValidationError({"as": ["Vouchers are not reported to the portal."]})
        return files.download(files.OF_A_DOCUMENT[form](document))
