"""Deeds with the platform's own money: only its operators (superusers) do them, whatever role a fleet gave."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _


def is_operator(request: Any) -> bool:
    return bool(request.user.is_active and request.user.is_superuser)


def operators_only(deed: Callable[..., Any]) -> Any:
    """Put above unfold's `action`, so that anybody else learns why: 403 with the reason, and nothing happens."""

    @wraps(deed)
    def guarded(model_admin: Any, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not is_operator(request):
            return _refused(model_admin, request)
        answer: HttpResponse = deed(model_admin, request, *args, **kwargs)
        return answer

    return guarded


class OperatorDeeds:
    """Mixed into an admin: `permissions=["operate"]` shows a button to the operators alone."""

    def has_operate_permission(self, request: Any, obj: Any = None) -> bool:
        return is_operator(request)


def _refused(model_admin: Any, request: HttpRequest) -> HttpResponse:
    told = _("Only the platform's operators do this: it moves the platform's own money. A fleet pays in by its wallet.")
    context = {**model_admin.admin_site.each_context(request), "opts": model_admin.model._meta, "title": told}
    return TemplateResponse(request, "admin/refused.html", context, status=403)
