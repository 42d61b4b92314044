"""Sign-in pages that cannot be used to guess passwords."""

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.shortcuts import render

from fleetcharge.accounts import throttling
from fleetcharge.lib.addresses import address_of_request

TOO_MANY = "Too many attempts. Please wait before you try again."
View = Callable[..., HttpResponseBase]


def guarded(view: View, account_of: Callable[..., str] | None = None) -> View:
    """A page that takes a password: attempts are limited per account and per address, whether either exists or not.

    `account_of(request, ...)` says whose password it is; by default the form's user name.
    """

    @functools.wraps(view)
    def guarded_view(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if request.method != "POST":
            return view(request, *args, **kwargs)
        account = account_of(request, *args, **kwargs) if account_of else request.POST.get("username", "")
        address = address_of_request(request)
        if seconds := throttling.try_password(account, address):
            return too_many(request, seconds)
        response = view(request, *args, **kwargs)
        if response.status_code == 302:
            throttling.password_was_right(account, address)
        return response

    return guarded_view


def too_many(request: HttpRequest, seconds: int) -> HttpResponseBase:
    """429 as a page, or as our error body for whoever does not want a page."""
    response: HttpResponse
    if request.accepts("text/html"):
        response = render(request, "error.html", {"status": 429, "detail": TOO_MANY}, status=429)
    else:
        response = JsonResponse({"detail": TOO_MANY, "code": "throttled"}, status=429)
    response["Retry-After"] = str(seconds)
    return response
