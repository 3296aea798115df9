"""One's own account: profile, keys, and where one is signed in."""

from __future__ import annotations

from typing import Any, Final

from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from apps.accounts.email_services import email_change, email_withdraw
from apps.accounts.key_services import key_create, key_revoke
from apps.accounts.login_services import everywhere_end, login_end, role_of, session_end
from apps.accounts.models import ApiKey, BrowserSession, Login, Membership, Organization
from apps.accounts.permissions import ACCOUNT, ADMIN, DELETE, READ, RESOURCES, USE, WRITE, permissions_of
from apps.core.errors import BadInput, LoomError
from apps.core.storable import storable_text
from apps.core.tenancy import organizations_of
from apps.dashboard.devices import device
from apps.dashboard.pages import act, found, number_in, page, sent, show
from apps.projects.models import Project

SHOWN = 200
DAY: Final = 24 * 3600
LIVES: Final = {"7": "a week", "30": "30 days", "90": "90 days", "365": "a year", "": "never"}
SCOPES: Final = {"read": ["*:read"], "write": ["*:read", "*:write"]}
ACTIONS: Final = (READ, WRITE, DELETE, ADMIN, USE)


# -- Keys ------------------------------------------------------------------------------------------------


@page
def keys(request: HttpRequest) -> HttpResponse:
    return _show_keys(request)


def _show_keys(
    request: HttpRequest, *, made: str = "", trouble: str = "", given: Any = None, status: int = 200
) -> HttpResponse:
    user: Any = request.user
    rows = ApiKey.objects.filter(user=user, revoked_at=None).select_related("organization")
    context = {
        "keys": list(rows[:SHOWN]),
        "mine": list(Organization.objects.filter(pk__in=organizations_of(user)).order_by("name")),
        "scopes": _scopes(user, given.getlist("scope") if given else []),
        "lives": LIVES,
        "made": made,
        "trouble": trouble,
        "given": given or {"may": "read", "days": "90"},
    }
    return show(request, "dashboard/keys.html", context, status)


def _scopes(user: Any, chosen: list[str]) -> list[tuple[str, list[tuple[str, str, bool, bool]]]]:
    """For each resource its actions: the scope, its word, whether one may give it, whether it is chosen."""
    held = set(permissions_of(role_of(user)))

    def row(resource: str, action: str) -> tuple[str, str, bool, bool]:
        scope = f"{resource}:{action}"
        return scope, action, scope in held or "*:*" in held, scope in chosen

    return [
        (resource, [row(resource, action) for action in ACTIONS])
        for resource in RESOURCES
        if resource != ACCOUNT
    ]


@sent
def key_add(request: HttpRequest) -> HttpResponse:
    """Make a key; its text is on this answer and nowhere else."""
    user: Any = request.user
    given = request.POST
    mine = Organization.objects.filter(pk__in=organizations_of(user))
    organization: Organization = found(mine, slug=storable_text(given.get("organization", "")))
    days = given.get("days", "")
    try:
        scopes = given.getlist("scope") if given.get("may") == "some" else SCOPES.get(given.get("may", ""))
        if not scopes:
            raise BadInput("Say what the key may do.")
        _, text = key_create(
            user=user,
            organization=organization,
            name=storable_text(given.get("name", "")),
            scopes=scopes,
            project_id=number_in(given.get("project", "")) or None,
            expires_in=number_in(days) * DAY,
        )
    except LoomError as error:
        return _show_keys(request, trouble=error.told, given=given, status=error.status)
    return _show_keys(request, made=text)


@act
def key_end(request: HttpRequest, *, key_id: int) -> str:
    user: Any = request.user
    key: ApiKey = found(ApiKey.objects.filter(user=user), pk=key_id)
    key_revoke(key=key, actor=str(user))
    return f"{key.name} is revoked."


# -- Account ---------------------------------------------------------------------------------------------


@page
def account(request: HttpRequest) -> HttpResponse:
    return _show_account(request)


def _show_account(
    request: HttpRequest, *, trouble: str = "", email: str = "", status: int = 200
) -> HttpResponse:
    user: Any = request.user
    context = {
        "memberships": list(Membership.objects.filter(user=user).select_related("organization")[:SHOWN]),
        "shared": list(Project.objects.filter(user_shares__user=user).defer("prd").order_by("name")[:SHOWN]),
        "browsers": [
            (row, device(row.user_agent), row.session_key == request.session.session_key)
            for row in BrowserSession.objects.alive(user).defer("session_data")[:SHOWN]
        ],
        "logins": list(Login.objects.valid().filter(user=user).select_related("organization")[:SHOWN]),
        "email": email if trouble else user.email,
        "confirms": bool(settings.LOOM_EMAIL_URL),
        "trouble": trouble,
    }
    return show(request, "dashboard/account.html", context, status)


@sent
def account_save(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    email = request.POST.get("email", "")[:254]
    try:
        waits = email_change(user=user, email=email)
    except LoomError as error:
        return _show_account(request, trouble=str(error), email=email, status=error.status)
    said = f"A link to confirm it is on its way to {user.pending_email}." if waits else "Saved."
    messages.success(request, said)
    return HttpResponseRedirect(reverse("account"))


@act
def email_stays(request: HttpRequest) -> str:
    user: Any = request.user
    email_withdraw(user=user)
    return f"Your address stays {user.email}." if user.email else "Your account stays without an address."


@act
def browser_ends(request: HttpRequest, *, mark: str) -> str:
    user: Any = request.user
    if not session_end(user=user, mark=mark):
        raise Http404
    return "That browser is signed out."


@act
def login_ends(request: HttpRequest, *, login_id: Any) -> str:
    user: Any = request.user
    row: Login = found(Login.objects.filter(user=user), pk=login_id)
    login_end(login_id=row.pk, reason="ended by its owner")
    return "That program is signed out."


@act
def sign_out_elsewhere(request: HttpRequest) -> str:
    user: Any = request.user
    count = everywhere_end(user=user, keep=request.session.session_key or "")
    return f"You are signed out elsewhere: {count} ended."
