"""The schema tells the truth: it validates, and no answer to generated requests contradicts it.

`make fuzz` tries many more: LOOM_FUZZ says how many examples of each operation.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.core.management import call_command
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase, given, settings
from jsonschema import Draft4Validator  # type: ignore[import-untyped]
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from apps.accounts.models import Role
from apps.core.api_schema import KeptGenerator
from tests.api.clients import client_of
from tests.world import World, world_build

AGAIN = "LOOM_TEST_AGAIN" in os.environ  # the other database is asked the same
EXAMPLES = int(os.environ.get("LOOM_FUZZ", "6" if AGAIN else "15"))
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# Streams have no end; who logs out, or changes the password, is not let in again; calls to models cost.
LEFT_OUT = (
    "/stream",
    "/auth/",
    "/chat/completions",
    "/pair",
    "/negotiate",
    "/models",
    "/test",
    "/repl",
    "/execute",
)
OPEN = (
    "/auth/login",
    "/auth/refresh",
    "/auth/invitations/register",
    "/webhooks/github",
    "/webhooks/openclaw",
)


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())
    # Else most requests would come with a made-up key or token beside the cookie and get no further.
    schema.config.generation.update(with_security_parameters=False)
    found: list[Any] = [one.ok() for one in schema.get_all_operations()]  # type: ignore[union-attr]
    return [one for one in found if not one.path.endswith(LEFT_OUT) and "/auth/" not in one.path]


OPERATIONS = operations()


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: Any) -> Iterator[World]:
    """One for all operations; what a request changes is undone after its test."""
    with django_db_blocker.unblock(), transaction.atomic():
        yield world_build("ours", rows=1)
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def kept_connection() -> Iterator[None]:
    """The transaction of the test outlives the requests."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def cookie(world: World) -> str:
    client: Client = client_of("ann", world.organization, Role.ADMIN)
    return "; ".join(f"{name}={morsel.value}" for name, morsel in client.cookies.items())


def test_the_schema_is_valid_and_says_something_of_every_view(tmp_path: Any) -> None:
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(tmp_path / "schema.yaml"))


def plain(schema: Any) -> Any:
    """OpenAPI 3.0 as JSON Schema has it."""
    if isinstance(schema, list):
        return [plain(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {name: plain(one) for name, one in schema.items()}
    return {"anyOf": [made, {"type": "null"}]} if made.pop("nullable", False) is True else made


def example_of(content: dict[str, Any]) -> Any:
    if "example" in content:
        return content["example"]
    return next(iter(content["examples"].values()))["value"]


def test_whatever_the_schema_knows_has_an_example_that_is_as_it_says() -> None:
    make: Any = KeptGenerator
    told = plain(make().get_schema(public=True))
    for address, methods in told["paths"].items():
        for method, operation in methods.items():
            bodies = [operation.get("requestBody", {}), *operation["responses"].values()]
            for content in (body.get("content", {}).get("application/json", {}) for body in bodies):
                if content.get("schema"):
                    whole = {**content["schema"], "components": told["components"]}
                    errors = Draft4Validator(whole).iter_errors(example_of(content))
                    assert [error.message for error in errors] == [], f"{method} {address}"
            # Only who logs in, registers, or signs what they send, comes without any of our credentials.
            assert ("security" not in operation) == address.endswith(OPEN), f"{method} {address}"
    tags = {tag for path in told["paths"].values() for one in path.values() for tag in one["tags"]}
    assert tags == {tag["name"] for tag in told["tags"]}


# What may be anything in an answer, and why.
FREE = {
    "Error.details": "what a program needs to know differs by error",
    "EventSchema.data": "facts differ by kind: docs/events.md",
    "AuditBody.data": "the same facts",
    "ActivitySchema.metadata": "the same facts",
    "ActivitySchema.agent_id": "as the fact has it: a number or a text",
    "ActivitySchema.provider_id": "as the fact has it: a number or a text",
    "Change.before": "a setting's own",
    "Change.after": "a setting's own",
    "NotificationSchema.metadata": "the same facts",
    "LogSchema.metadata": "what the line was logged with",
    "HookEventBody.data": "what GitHub said",
    "RequestLog.metadata": "differs by what the call was for",
    "CommandBody.context": "the caller's own",
    "MotivationBody.parameters": "differ by condition: docs/motivations.md",
    "MotivationBody.bead_template": "the maker's own",
    "PersonaBody.metadata": "the author's own: Agent Skills",
    "ProjectBody.checks": "as they were configured",
    "TriggerBody.trigger_data": "what fired it",
    "SignalBody.data": "the sender's own",
    "AnswerBody.answer": "a flow's own",
    "WholeRun.input": "a flow's own",
    "WholeRun.output": "a flow's own",
    "TimelineEntryBody.output": "a step's own",
    "TimelineEntryBody.error": "a step's is an object, a run's a text",
    "TimelineEntryBody.data": "a signal's or an event's own",
    "TimelineEntryBody.policy": "differs by step",
    "TimelineEntryBody.failures": "errors of any program",
    "VisitBody.result_data": "differs by type of node",
    "WorkflowNodeBody.metadata": "what only its type of node has",
    "WorkflowBody.match": "rules: docs/workflows.md",
}
# Files that are exchanged whole, whose format is told elsewhere.
DOCUMENTS = {"Snapshot", "RecordingBody", "ProofBody"}


def answers(told: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    for address, methods in told["paths"].items():
        for method, operation in methods.items():
            for status, answer in operation["responses"].items():
                for kind, content in answer.get("content", {}).items():
                    yield f"{method} {address} {status} {kind}", content.get("schema", {})


def is_anything(schema: Any) -> bool:
    """It says nothing of what is there: no type, or an object without any key."""
    said = {name for name in schema if name not in {"description", "nullable", "readOnly", "title"}}
    if schema.get("type") == "object":
        return not schema.get("properties") and schema.get("additionalProperties", {}) in ({}, True)
    if schema.get("type") == "array":
        return is_anything(schema["items"])
    return not said


def reached(schema: Any, parts: dict[str, Any], seen: set[str]) -> None:
    """The names of the parts that a schema is made of."""
    if isinstance(schema, dict):
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        if name and name not in seen:
            seen.add(name)
            reached(parts[name], parts, seen)
        for inner in schema.values():
            reached(inner, parts, seen)
    elif isinstance(schema, list):
        for inner in schema:
            reached(inner, parts, seen)


def test_every_answer_says_what_it_is() -> None:
    make: Any = KeptGenerator
    told = make().get_schema(public=True)
    parts, seen = told["components"]["schemas"], set[str]()
    assert [name for name, schema in answers(told) if is_anything(schema)] == []
    for _, schema in answers(told):
        reached(schema, parts, seen)
    free = {
        f"{name}.{field}"
        for name in seen - DOCUMENTS
        for field, schema in parts[name].get("properties", {}).items()
        if is_anything(schema)
    }
    assert free == set(FREE)


MADE_UP = (
    {"X-API-Key": "loom_made_up"},
    {"Authorization": "Bearer made.up.token"},
    {"Authorization": "\xff"},
)


@pytest.mark.django_db
def test_who_makes_up_a_key_or_a_token_is_told_so_everywhere() -> None:
    for operation in (one for one in OPERATIONS if not one.path.endswith(OPEN)):
        for headers in MADE_UP:
            case = operation.Case(path_parameters=dict.fromkeys(re.findall(r"{(\w+)}", operation.path), "1"))
            response = case.call(headers=headers)
            case.validate_response(response, checks=CHECKS)
            assert response.status_code == 401, operation.label


@pytest.mark.parametrize("operation", OPERATIONS, ids=[one.label for one in OPERATIONS])
@pytest.mark.usefixtures("nobody_reacts", "db")
def test_no_answer_contradicts_the_schema(operation: Any, world: World, cookie: str) -> None:
    known = {"id": world.project.pk, "pk": world.project.pk, "key": world.beads[0].key}

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy())
    def play(case: Any) -> None:
        if len(str(case.path_parameters)) % 2:  # half of them are about something that is there
            case.path_parameters = {name: known.get(name, 1) for name in case.path_parameters or {}}
        response = case.call(headers={"Cookie": cookie})
        case.validate_response(response, checks=CHECKS)

    play()
