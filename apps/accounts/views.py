"""Pages of one's own account: joining by a link, one's password, the organization one looks at."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.auth import login, update_session_auth_hash
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from apps.accounts.email_services import email_confirm, email_of
from apps.accounts.invitation_services import invitation_accept, invitation_find, invitation_register
from apps.accounts.login_services import organization_named
from apps.accounts.middleware import CHOSEN
from apps.accounts.user_services import password_change
from apps.core.errors import LoomError
from apps.core.middleware import error_answer
from apps.core.tenancy import EVERYTHING


class NewAccountForm(forms.Form):
    username = forms.CharField(label="User name", max_length=150)
    password = forms.CharField(
        label="Password", max_length=1000, strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip


class PasswordForm(forms.Form):
    current = forms.CharField(
        label="Current password", strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
    )  # fmt: skip
    new = forms.CharField(
        label="New password", strip=False, max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
    )  # fmt: skip


@never_cache
@require_http_methods(["GET", "POST"])
def invitation(request: HttpRequest, token: str) -> HttpResponse:
    """Join with the account one is logged in with, or with a new one."""
    found = invitation_find(token)
    form, refused = NewAccountForm(request.POST or None), ""
    if request.method == "POST" and (request.user.is_authenticated or form.is_valid()):
        try:
            _join(request, token, form)
            messages.success(request, f"You are a member of {found.organization} now.")
            return HttpResponseRedirect(reverse("home"))
        except LoomError as error:
            refused = error.told
    context = {"invitation": found, "form": form, "refused": refused, "here": request.path}
    status = 400 if refused or form.errors else 200
    return render(request, "accounts/invitation.html", context, status=status)


def _join(request: HttpRequest, token: str, form: NewAccountForm) -> None:
    user: Any = request.user
    if user.is_authenticated:
        invitation_accept(token=token, user=user)
        return
    user = invitation_register(token=token, **form.cleaned_data)
    login(request, user, backend="apps.accounts.backends.PasswordBackend")


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def password(request: HttpRequest) -> HttpResponse:
    """Change one's own password; other sessions and all tokens end."""
    user: Any = request.user
    form = PasswordForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        try:
            password_change(user=user, **form.cleaned_data)
        except LoomError as error:
            form.add_error(None, str(error))
        else:
            update_session_auth_hash(request, user)
            messages.success(request, "Your password was changed; you are logged out everywhere else.")
            return HttpResponseRedirect(reverse("home"))
    return render(request, "accounts/password.html", {"form": form}, status=400 if form.errors else 200)


@never_cache
@require_http_methods(["GET", "POST"])
@login_required
def email(request: HttpRequest, token: str) -> HttpResponse:
    """Confirm one's new address; only by a button, since mail programs open links to look at them."""
    try:
        return _confirm(request, token)
    except LoomError as error:
        return error_answer(request, error)


def _confirm(request: HttpRequest, token: str) -> HttpResponse:
    user: Any = request.user
    if request.method == "POST":
        address = email_confirm(user=user, token=token)
        messages.success(request, f"{address} is your e-mail address now.")
        return HttpResponseRedirect(reverse("account"))
    return render(request, "accounts/email.html", {"address": email_of(user=user, token=token)})


@require_POST
@login_required
def switch(request: HttpRequest) -> HttpResponse:
    """Look at one organization (id or slug), or with none at all one is in."""
    user: Any = request.user
    named = request.POST.get("organization", "")
    request.session.pop(CHOSEN, None)
    if named:
        user.access = EVERYTHING  # the whole reach again: one may go from any to any
        if (found := organization_named(user, named)) is not None:
            request.session[CHOSEN] = found.pk
    return HttpResponseRedirect(reverse("home"))
