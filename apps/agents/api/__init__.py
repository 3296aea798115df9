"""The API of the team: personas, agents, org charts, messages and lessons."""

from __future__ import annotations

from apps.agents.api.agents import urlpatterns as agent_routes
from apps.agents.api.files import urlpatterns as file_routes
from apps.agents.api.lessons import urlpatterns as lesson_routes
from apps.agents.api.locks import urlpatterns as lock_routes
from apps.agents.api.merging import urlpatterns as merge_routes
from apps.agents.api.messages import urlpatterns as message_routes
from apps.agents.api.org_charts import urlpatterns as chart_routes
from apps.agents.api.personas import urlpatterns as persona_routes
from apps.agents.api.sessions import urlpatterns as session_routes

urlpatterns = [
    *persona_routes, *agent_routes, *chart_routes, *message_routes, *lesson_routes, *merge_routes,
    *session_routes, *file_routes, *lock_routes,
]  # fmt: skip
