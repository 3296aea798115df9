"""Everything that was, is and will be told: events, the activity feed, notifications, the log."""

from __future__ import annotations

from apps.activity import activity_api, events_api, live_api, logs_api, notifications_api

urlpatterns = [
    *events_api.urlpatterns,
    *activity_api.urlpatterns,
    *notifications_api.urlpatterns,
    *logs_api.urlpatterns,
    *live_api.urlpatterns,
]
