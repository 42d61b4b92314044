"""Tells the OpenAPI file how an API key is presented."""

from typing import Any

from drf_spectacular.extensions import OpenApiAuthenticationExtension


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[misc]
    """`Authorization: Bearer fck_...`; the header `X-API-Key` does the same."""

    target_class = "fleetcharge.accounts.authentication.APIKeyAuthentication"
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "description": "An API key; `X-API-Key` is accepted too."}
