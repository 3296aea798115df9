"""Routes of the pages."""

from __future__ import annotations

from django.contrib.auth.views import LoginView, LogoutView
from django.urls import path

from apps.dashboard import views

urlpatterns = [
    path("", views.home, name="home"),
    path("projects/<int:project_id>/", views.project, name="project"),
    path("decisions/<int:decision_id>/answer/", views.decision_answer, name="decision-answer"),
    path("login/", LoginView.as_view(redirect_authenticated_user=True), name="login"),
    path("logout/", LogoutView.as_view(), name="logout"),
]
