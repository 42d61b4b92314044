"""Files that a fleet's planner uploads: its stops."""

from collections.abc import Mapping
from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.decorators import action
from rest_framework.exceptions import ParseError
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from vehicles import serializers as shapes
from vehicles.api import FleetViewSet
from vehicles.models import Stop
from vehicles.stop_import.files import MOST_LINES, UnreadableFile
from vehicles.stop_import.services import Imported, import_stops

MAX_FILE_BYTES = 4 * 1024 * 1024


class CsvParser(BaseParser):
    """The body as it came, bounded."""

    media_type = "text/csv"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        content: bytes = stream.read(MAX_FILE_BYTES + 1)
        if len(content) > MAX_FILE_BYTES:
            raise ParseError("The file is larger than 4 MB.")
        return content


class StopImportViewSet(FleetViewSet):
    """Stops of many vehicles at once."""

    queryset = Stop.objects.none()
    serializer_class = shapes.ImportedSerializer
    parser_classes = (CsvParser,)

    @extend_schema(
        parameters=[OpenApiParameter("dry_run", bool, description="Say what would happen, and store nothing.")],
        request={"text/csv": OpenApiTypes.STR},
        responses={200: shapes.ImportedSerializer, 400: shapes.ImportRefusedSerializer},
        description=(
            "Stops from a CSV file (UTF-8; comma, semicolon or tab) with the columns `vehicle` (its plate), "
            "`external_id`, `name`, `latitude`, `longitude`, and if you like `earliest_at` and `due_at` (ISO 8601; "
            f"without a zone: Indian time). Up to {MOST_LINES:,} lines, all or none. A stop is known again by its "
            "`external_id`: the same file twice changes nothing, a changed line changes its stop, another plate moves "
            "it there, and stops that are done stay as they are. New ones follow those the vehicle has, in the order "
            "of the file. Columns of other names are named in `unknown_columns`, and nothing is taken of them."
        ),
    )
    @action(detail=False, methods=["post"], url_path="import", filter_backends=[])
    def upload(self, request: Request) -> Response:
        query = shapes.ImportQuerySerializer(data=request.query_params)
        query.is_valid(raise_exception=True)
        is_dry_run = query.validated_data["dry_run"]
        content = request.data if isinstance(request.data, bytes) else b""
        try:
            imported = import_stops(organisation_id=self.organisation.pk, content=content, is_dry_run=is_dry_run)
        except UnreadableFile as error:
            raise ParseError(str(error), code="unreadable_file") from error
        return _refusal(imported) if imported.problems else _answer(imported, is_dry_run)


def _answer(imported: Imported, is_dry_run: bool) -> Response:
    return Response(shapes.ImportedSerializer(imported._asdict() | {"is_dry_run": is_dry_run}).data)


def _refusal(imported: Imported) -> Response:
    problems = [problem._asdict() for problem in imported.problems]
    detail = f"{len(problems)} of the lines cannot be taken, so nothing was stored."
    body = {
        "detail": detail, "code": "invalid_lines", "unknown_columns": imported.unknown_columns, "problems": problems,
    }  # fmt: skip
    return Response(shapes.ImportRefusedSerializer(body).data, status=status.HTTP_400_BAD_REQUEST)
