"""The pages."""

from __future__ import annotations

from tests.tenancy.table import Row, everybody, many, one, organization, own

PROJECT, BEAD, AGENT = {"project_id": "project"}, {"key": "bead_key"}, {"agent_id": "agent"}
RUN, PROVIDER = {"run_id": "run"}, {"provider_id": "provider"}
DECISION, MOTIVATION = {"decision_id": "decision"}, {"motivation_id": "motivation"}
ROLE = {**PROJECT, "role": "qa-engineer"}
PERSONA = {"persona_id": "persona_id"}
TALK = {"session_id": "talk"}
MEMBERS = ("viewer", "user", "admin")
WORKFLOWS = "workflows:write"
NOBODY = {"all": 302}
OPERATORS = {"all": 404, "key": 302, "other key": 302, "anonymous": 302}
EVERYBODY = ("stranger", "removed", "viewer", "user", "admin", "shared")


def of_nobody_here(args: dict[str, str]) -> Row:
    """Of somebody who is none of those who ask."""
    return Row("many", args=args, expect=dict.fromkeys(EVERYBODY, 404))


MAY_NOT = dict.fromkeys(("stranger", "removed", "viewer", "user", "admin", "shared"), (200, 302, 400, 404))
ROWS: dict[str, Row] = {
    "GET /": many(),
    "GET /find/": many(query="q=links", common=True),
    "POST /theme/": own(body={"theme": "dark"}),
    "GET /design/": many(common=True),
    "GET /login/": everybody(),
    "POST /login/": everybody(body={"username": "", "password": "wrong"}),
    "POST /logout/": own(expect=NOBODY),
    "GET /projects/new/": own(),
    "POST /projects/new/begin/": own(body={"name": ""}),
    "POST /projects/new/repository/": own(body={"address": ""}),
    "POST /projects/new/preview/": own(body={"prd": "# New\n\n- It works.\n"}),
    "POST /sample/": own(expect={"viewer": 404, "shared": (302, 404)}),
    "GET /projects/{project_id}/": one(PROJECT),
    "GET /projects/{project_id}/board/": one(PROJECT),
    "GET /projects/{project_id}/beads/": one(PROJECT),
    "POST /projects/{project_id}/beads/add/": one(PROJECT, body={"title": "Store"}, permission="beads:write"),
    "POST /projects/{project_id}/beads/move/": one(PROJECT, permission="beads:write"),
    "GET /projects/{project_id}/graph/": one(PROJECT),
    "GET /projects/{project_id}/requirements/": one(PROJECT),
    "GET /projects/{project_id}/settings/": one(PROJECT),
    "POST /projects/{project_id}/settings/save/": one(PROJECT, permission="projects:write"),
    "POST /projects/{project_id}/settings/git/": one(PROJECT, permission="projects:admin"),
    "POST /projects/{project_id}/settings/git/key/": one(PROJECT, permission="projects:admin"),
    "GET /projects/{project_id}/lessons/": one(PROJECT),
    "POST /projects/{project_id}/lessons/add/": one(PROJECT, permission="projects:write"),
    **{
        f"POST /lessons/{{lesson_id}}/{word}/": one({"lesson_id": "lesson"}, permission="projects:write")
        for word in ("edit", "switch", "pin")
    },
    "POST /lessons/{lesson_id}/remove/": one({"lesson_id": "lesson"}, permission="projects:delete"),
    "GET /projects/{project_id}/team/": one(PROJECT),
    "POST /projects/{project_id}/team/add/": one(PROJECT, permission="agents:write"),
    "POST /projects/{project_id}/team/reset/": one(PROJECT, permission="agents:write"),
    "POST /projects/{project_id}/team/positions/{role}/": one(ROLE, permission="agents:write"),
    "POST /projects/{project_id}/team/positions/{role}/remove/": one(ROLE, permission="agents:write"),
    "GET /beads/{key}/": one(BEAD),
    "GET /beads/{key}/changes/": one(BEAD),
    "GET /beads/{key}/evidence/": one(BEAD),
    **{
        f"POST /beads/{{key}}/{word}/": one(BEAD, permission="beads:write")
        for word in (
            "assign",
            "move",
            "edit",
            "again",
            "pause",
            "resume",
            "stop",
            "escalate",
            "take",
            "give-back",
            "comment",
            "close",
        )
    },
    "GET /sessions/{session_id}/": one({"session_id": "session"}),
    "GET /decisions/": many(),
    "GET /decisions/{decision_id}/": one(DECISION),
    "POST /decisions/{decision_id}/answer/": one(
        DECISION, body={"choice": "hash"}, permission="decisions:write"
    ),
    "GET /overview/": many(),
    "POST /overview/ask/": organization(body={"organization": "zqshared", "text": ""}, permission="repl:use"),
    "POST /overview/asked/{exchange_id}/stop/": organization(
        {"exchange_id": "question"},
        expect=dict.fromkeys(MEMBERS, 404),  # one's own questions only
    ),
    "GET /activity/": many(),
    "GET /conversations/": many(),
    "GET /pair/": many(),
    "POST /pair/begin/": one(
        body={"project": "@project", "with": "@agent", "bead": "@bead_key"}, permission="conversations:write"
    ),
    "GET /pair/{session_id}/": one(TALK),
    **{
        f"POST /pair/{{session_id}}/{word}/": one(TALK, permission="conversations:write")
        for word in ("say", "stop", "apply", "reject")
    },
    "GET /logs/": many(),
    "GET /agents/": many(),
    "POST /agents/add/": one(body={"project": "@project"}, permission="agents:write"),
    **{
        f"POST /agents/{{agent_id}}/{word}/": one(AGENT, permission="agents:write")
        for word in ("pause", "resume", "stop")
    },
    "GET /personas/": many(common=True),
    "GET /personas/{persona_id}/": organization(PERSONA),
    "POST /personas/{persona_id}/preview/": organization(PERSONA, permission="personas:read"),
    **{
        f"POST /personas/{{persona_id}}/{word}/": organization(PERSONA, permission="personas:write")
        for word in ("save", "clone", "restore")
    },
    "POST /personas/{persona_id}/remove/": organization(PERSONA, permission="personas:delete"),
    "GET /runs/": many(),
    "GET /runs/{run_id}/": one(RUN),
    **{
        f"POST /runs/{{run_id}}/{word}/": one(RUN, permission="runs:write")
        for word in ("cancel", "pause", "resume", "retry")
    },
    "GET /cost/": many(),
    "POST /cost/apply/": one(body={"project": "@project"}, permission="providers:write"),
    "POST /cost/preferences/{preference_id}/undo/": one(
        {"preference_id": "preference"}, permission="providers:write"
    ),
    "GET /cost.csv": many(),
    "GET /notifications/": own(),
    "GET /notifications/{notification_id}/": of_nobody_here({"notification_id": "notification"}),
    "POST /notifications/read/": own(),
    "GET /notifications/told/": own(),
    "POST /notifications/told/save/": own(),
    "POST /notifications/told/secret/": own(),
    "POST /notifications/told/test/": own(),
    "POST /notifications/{notification_id}/{word}/": of_nobody_here(
        {"notification_id": "notification", "word": "read"}
    ),
    "POST /notifications/sent/{delivery_id}/again/": of_nobody_here({"delivery_id": "delivery"}),
    "GET /account/": own(),
    "POST /account/save/": own(),
    "POST /account/logins/end/": own(),
    "POST /account/email-stays/": own(),
    "POST /account/browsers/{mark}/end/": of_nobody_here({"mark": "=0123456789abcdef"}),
    "POST /account/logins/{login_id}/end/": of_nobody_here({"login_id": "login"}),
    "GET /installation/": own(expect=OPERATORS),
    "GET /people/": many(common=True),
    "POST /people/add/": organization(
        body={"organization": "zqshared", "username": "new", "password": "short"}, permission="users:write"
    ),
    "POST /people/{membership_id}/role/": organization(
        {"membership_id": "membership"}, body={"role": "viewer"}, permission="users:admin"
    ),
    "POST /people/{membership_id}/remove/": organization(
        {"membership_id": "membership"},
        permission="users:delete",
        expect={"viewer": 302},  # everybody may leave
    ),
    "POST /people/invite/": organization(
        body={"organization": "zqshared", "role": "viewer"}, permission="users:write"
    ),
    "POST /people/invitations/{invitation_id}/revoke/": organization(
        {"invitation_id": "invitation"}, permission="users:write"
    ),
    "GET /people/groups/": many(),
    "POST /people/groups/add/": organization(
        body={"organization": "zqshared", "name": ""}, permission="users:write"
    ),
    "POST /people/groups/{group_id}/remove/": organization({"group_id": "group"}, permission="users:write"),
    "POST /people/groups/{group_id}/{word}/": organization(
        {"group_id": "group", "word": "join"}, permission="users:write"
    ),
    "POST /people/shares/add/": one(body={"project": "@project"}, permission="projects:admin"),
    "POST /people/shares/{project_id}/{kind}/{holder}/remove/": one(
        {**PROJECT, "kind": "user", "holder": "colleague"}, permission="projects:admin"
    ),
    "GET /people/keys/": many(),
    "POST /people/keys/add/": organization(body={"organization": "zqshared", "name": ""}),
    "POST /people/keys/{key_id}/revoke/": organization(
        {"key_id": "api_key"},
        expect=dict.fromkeys(MEMBERS, 404),  # one's own keys only
    ),
    "GET /models/": many(),
    "GET /models/new/": own(),
    "POST /models/add/": own(body={"name": ""}, expect=MAY_NOT),
    "POST /models/look/": own(expect=MAY_NOT),
    **{
        f"POST /models/{{provider_id}}/{word}/": organization(PROVIDER, permission="providers:write")
        for word in ("test", "switch")
    },
    "POST /models/{provider_id}/remove/": organization(PROVIDER, permission="providers:delete"),
    "GET /workflows/": many(),
    "GET /workflows/{name}/": many({"name": "story"}),
    "GET /workflows/{name}/edit/": one({"name": "story"}, query="project={project}", permission=WORKFLOWS),
    **{
        f"POST /workflows/{{name}}/{word}/": one(
            {"name": "story"}, body={"project": "@project"}, permission=WORKFLOWS
        )
        for word in ("preview", "save")
    },
    "POST /workflows/{name}/remove/": one(
        {"name": "story"}, body={"project": "@project"}, expect=dict.fromkeys((*MEMBERS, "shared"), 404)
    ),  # there is none of its own
    "GET /motivations/": many(),
    "GET /motivations/new/": own(expect={"viewer": 404, "shared": (200, 404)}),
    "POST /motivations/add/": own(expect=MAY_NOT),
    "GET /motivations/{motivation_id}/": one(MOTIVATION),
    "POST /motivations/{motivation_id}/save/": one(MOTIVATION, permission="motivations:write"),
    "POST /motivations/{motivation_id}/remove/": one(MOTIVATION, permission="motivations:delete"),
    "POST /motivations/{motivation_id}/switch/": one(MOTIVATION, permission="motivations:write"),
    "POST /motivations/{motivation_id}/trigger/": one(MOTIVATION, permission="motivations:write"),
}
