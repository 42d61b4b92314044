"""Tells the OpenAPI file that answers of the registry carry an ETag."""

from typing import Any

from drf_spectacular.openapi import AutoSchema

IF_NONE_MATCH = {
    "name": "If-None-Match", "in": "header", "required": False, "schema": {"type": "string"},
    "description": "The ETag of the copy you hold; 304 while it is still right.",
}  # fmt: skip


class RegistrySchema(AutoSchema):  # type: ignore[misc]
    """304 and If-None-Match on every read."""

    def get_operation(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        operation: dict[str, Any] = super().get_operation(*args, **kwargs)
        if operation and self.method == "GET":
            operation.setdefault("parameters", []).append(IF_NONE_MATCH)
            operation["responses"]["304"] = {"description": "Your copy is still right."}
        return operation
