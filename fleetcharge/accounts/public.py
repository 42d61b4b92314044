"""Marks the few pages a stranger may open; everything else needs a sign-in (LoginRequiredMiddleware)."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth.decorators import login_not_required
from django.http import HttpResponseBase

View = Callable[..., HttpResponseBase]


def public(view: Any) -> View:
    """The view, open to everybody."""
    decorated: View = login_not_required(view)
    return decorated


def api(view: Any) -> View:
    """An API view: DRF does the authentication (401/403 as JSON), not the login page."""
    return public(view)
