"""Errors of the API: always the same body, with the right status."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.http import Http404
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView

from apps.core import errors


def answer(error: Exception) -> Response:
    """What a view answers in which this happens."""

    class Broken(APIView):
        authentication_classes = ()
        permission_classes = ()

        def get(self, request: Any) -> Response:
            raise error

    response = Broken.as_view()(APIRequestFactory().get("/"))
    assert isinstance(response, Response)
    return response


@pytest.mark.parametrize(
    ("kind", "status", "code"),
    [
        (errors.BadInput, 400, "bad_input"),
        (errors.BudgetExceeded, 402, "budget_exceeded"),
        (errors.Forbidden, 403, "forbidden"),
        (errors.NotFound, 404, "not_found"),
        (errors.Conflict, 409, "conflict"),
        (errors.TooLarge, 413, "too_large"),
        (errors.ProviderError, 502, "provider_error"),
        (errors.Unavailable, 503, "unavailable"),
        (errors.LoomError, 500, "error"),
    ],
)
def test_our_own_errors_say_what_why_and_what_to_do(
    kind: type[errors.LoomError], status: int, code: str
) -> None:
    response = answer(kind("It broke.", hint="Mend it.", details={"part": 7}))
    assert response.status_code == status
    assert response.data == {"error": "It broke.", "code": code, "details": {"part": 7, "hint": "Mend it."}}


@pytest.mark.parametrize(
    ("error", "status", "code", "words"),
    [
        (Http404(), 404, "not_found", "Not found."),
        (Http404("No APIKey matches the given query."), 404, "not_found", "There is no such api key."),
        (Http404("No Bead matches the given query."), 404, "not_found", "There is no such bead."),
        (
            Http404("No WorkflowDefinition matches the given query."),
            404,
            "not_found",
            "There is no such workflow definition.",
        ),
        (PermissionDenied(), 403, "permission_denied", "You do not have permission to perform this action."),
        (exceptions.NotAuthenticated(), 403, "not_authenticated", "Authentication credentials"),
        (exceptions.MethodNotAllowed("PUT"), 405, "method_not_allowed", 'Method "PUT" not allowed.'),
        (exceptions.ParseError(), 400, "parse_error", "Malformed request."),
        (exceptions.Throttled(wait=7), 429, "throttled", "Request was throttled."),
    ],
)
def test_errors_of_the_framework_look_the_same(error: Exception, status: int, code: str, words: str) -> None:
    response = answer(error)
    assert response.status_code == status
    assert set(response.data) == {"error", "code", "details"}
    assert response.data["code"] == code
    assert response.data["error"].startswith(words)
    assert json.loads(json.dumps(response.data)) == response.data


def test_a_throttled_request_says_when_to_come_back() -> None:
    assert answer(exceptions.Throttled(wait=7))["Retry-After"] == "7"


@pytest.mark.parametrize(
    "detail", [{"name": ["This field is required."]}, ["Send an object."]], ids=["fields", "list"]
)
def test_invalid_fields_are_named(detail: Any) -> None:
    response = answer(exceptions.ValidationError(detail))
    assert response.status_code == 400
    assert response.data["code"] == "invalid"
    assert response.data["error"] == "Some fields are not valid."
    assert response.data["details"]["fields"] == detail


def test_what_nobody_expected_is_not_dressed_up() -> None:
    with pytest.raises(ZeroDivisionError):
        answer(ZeroDivisionError())


def test_an_error_survives_the_way_through_another_process() -> None:
    error = errors.Conflict("It broke.", hint="Mend it.", details={"part": 7})
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is errors.Conflict
    assert (str(again), again.hint, again.details, again.body()) == (
        "It broke.",
        "Mend it.",
        {"part": 7},
        error.body(),
    )


def test_an_error_without_a_hint_has_none_in_its_body() -> None:
    assert errors.NotFound("Nothing.").body() == {"error": "Nothing.", "code": "not_found", "details": {}}
