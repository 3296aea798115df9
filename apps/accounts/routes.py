"""All API routes of accounts."""

from __future__ import annotations

from apps.accounts import audit_api, auth_api, invitations_api, keys_api, organizations_api, users_api

urlpatterns = [
    *auth_api.urlpatterns,
    *users_api.urlpatterns,
    *keys_api.urlpatterns,
    *invitations_api.urlpatterns,
    *organizations_api.urlpatterns,
    *audit_api.urlpatterns,
]
