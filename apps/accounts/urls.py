"""Routes of the pages of accounts."""

from __future__ import annotations

from django.urls import path

from apps.accounts import views

urlpatterns = [
    path("invitations/<str:token>/", views.invitation, name="invitation"),
    path("account/password/", views.password, name="account-password"),
    path("account/email/<str:token>/", views.email, name="email-confirm"),
    path("account/organization/", views.switch, name="account-organization"),
]
