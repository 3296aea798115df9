"""What servers really say when they refuse, and the error each of it becomes."""

from __future__ import annotations

import json
import pickle
import time
from email.utils import formatdate

import pytest

from apps.providers import errors
from apps.providers.errors import CallFailed
from apps.providers.faults import SAID_LIMIT, Asked, clean, fault_of, wait_in

ASKED = Asked("acme", "big-model", "sk-secret-key-1234567890", tools=True)


def fault(status: int, message: object = "", headers: dict[str, str] | None = None) -> CallFailed:
    body = message if isinstance(message, bytes) else json.dumps({"error": {"message": message}}).encode()
    return fault_of(status, headers or {}, body, ASKED)


@pytest.mark.parametrize(
    ("status", "message", "kind"),
    [
        (
            400,
            "This model's maximum context length is 8192 tokens. However, you requested 9000",
            errors.ContextTooLong,
        ),
        (
            400,
            "request (5000 tokens) exceeds the available context size (4096 tokens)",
            errors.ContextTooLong,
        ),
        (400, "prompt is too long: 210000 tokens > 200000 maximum", errors.ContextTooLong),
        (400, "The input token count exceeds... reduce the length of the messages", errors.ContextTooLong),
        (413, "", errors.ContextTooLong),
        (400, "registry.ollama.ai/library/gemma:2b does not support tools", errors.ToolsUnsupported),
        (
            400,
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser',
            errors.ToolsUnsupported,
        ),
        (500, "tools param requires --jinja flag", errors.ToolsUnsupported),
        (404, "No endpoints found that support tool use.", errors.ToolsUnsupported),
        (400, "Unknown field: tools", errors.ToolsUnsupported),
        (422, "tools: Extra inputs are not permitted", errors.ToolsUnsupported),
        (400, "`tools` are not supported for this model", errors.ToolsUnsupported),
        (401, "Incorrect API key provided", errors.Unauthorized),
        (403, "Country not supported", errors.Unauthorized),
        (402, "Insufficient credits", errors.OutOfCredit),
        (
            429,
            "You exceeded your current quota, please check your plan and billing details",
            errors.OutOfCredit,
        ),
        (429, "Rate limit reached for requests", errors.RateLimited),
        (404, "The model `x` does not exist", errors.ModelMissing),
        (405, "Method Not Allowed", errors.ModelMissing),
        (408, "", errors.TimedOut),
        (504, "upstream timed out", errors.TimedOut),
        (500, "internal error", errors.ServerFailed),
        (503, "overloaded", errors.ServerFailed),
        (529, "Overloaded", errors.ServerFailed),
        (307, "", errors.Rejected),
        (400, "temperature must be at most 2", errors.Rejected),
        (418, "", errors.Rejected),
    ],
)
def test_each_answer_becomes_the_error_that_names_its_cause(
    status: int, message: str, kind: type[CallFailed]
) -> None:
    assert type(fault(status, message)) is kind


def test_tools_are_only_to_blame_if_they_were_offered() -> None:
    plain = Asked("acme", "m")
    body = b'{"error": "m does not support tools"}'
    assert isinstance(fault_of(400, {}, body, plain), errors.Rejected)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b'{"error": {"message": "one"}}', "one"),
        (b'{"error": "two"}', "two"),
        (b'{"message": "three"}', "three"),
        (b'{"detail": "four"}', "four"),
        (b'[{"error": {"message": "five"}}]', "five"),
        (b"plain\n  six", "plain six"),
        (b"<html><body>502</body></html>", ""),
        (b'{"weird": 1}', ""),
        (b"", ""),
        (b"\xff\xfe", "��"),
    ],
)
def test_the_servers_own_words_are_found_wherever_it_puts_them(body: bytes, said: str) -> None:
    sentence = str(fault(418, body))
    assert sentence == (f"acme rejected the call (418): {said}." if said else "acme rejected the call (418).")


def test_long_words_are_cut_to_one_line() -> None:
    sentence = str(fault(500, "line\n" * 1000))
    assert "\n" not in sentence
    assert len(sentence) < SAID_LIMIT + 60


@pytest.mark.parametrize(
    "echo",
    [
        "Incorrect API key provided: sk-secret-key-1234567890.",
        "bad header Authorization: Bearer sk-secret-key-1234567890",
        "x" * (SAID_LIMIT - 10) + " sk-secret-key-1234567890",
        "unknown token gsk_AnotherKey123456",
    ],
)
def test_a_key_the_server_quotes_is_not_passed_on(echo: str) -> None:
    for status in (400, 401, 404, 429, 500):
        failure = fault(status, echo)
        assert "secret" not in str(failure) + repr(failure) + str(failure.details)
        assert "AnotherKey" not in str(failure)
    assert "secret" not in repr(ASKED)


def test_a_key_of_any_form_is_taken_out() -> None:
    assert clean("no hyphen: hunter2hunter2", "hunter2hunter2") == "no hyphen: [key]"


@pytest.mark.parametrize(
    ("headers", "body", "seconds"),
    [
        ({"retry-after": "7"}, b"", 7.0),
        ({"retry-after": "0.5"}, b"", 0.5),
        ({"retry-after": "-3"}, b"", 0.0),
        ({"retry-after": "99999"}, b"", 3600.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, b"", 1.5),
        ({"retry-after": "soon"}, b"", None),
        ({}, b'{"error":{"message":"Please try again in 1.2s. Visit..."}}', 1.2),
        ({}, b'{"error":{"message":"Please try again in 250ms."}}', 0.25),
        ({}, b'{"error":{"message":"Please try again in 1m30s."}}', 90.0),
        ({}, b'{"error":{"details":[{"retryDelay": "11s"}]}}', 11.0),
        ({}, b"nothing about it", None),
        ({}, b"try again in " + b"9" * 400 + b"h1s", None),
    ],
)
def test_the_wait_the_server_asks_for(headers: dict[str, str], body: bytes, seconds: float | None) -> None:
    assert wait_in(headers, body) == seconds


def test_the_wait_may_be_a_date() -> None:
    in_a_minute = formatdate(time.time() + 60, usegmt=True)
    assert wait_in({"retry-after": in_a_minute}, b"") == pytest.approx(60, abs=3)


def test_every_kind_of_failure_has_a_code_of_its_own_and_a_hint() -> None:
    kinds: list[type[CallFailed]] = []
    todo = [CallFailed]
    while todo:
        todo += (below := todo.pop().__subclasses__())
        kinds += below
    assert len(kinds) >= 14
    assert len({kind.code for kind in kinds}) == len(kinds)
    for kind in kinds:
        failure = kind("One sentence.")
        assert failure.hint
        assert 400 <= failure.status < 600


def test_a_failure_survives_the_trip_between_processes() -> None:
    failure = fault(429, "slow down", {"retry-after": "30"})
    copy = pickle.loads(pickle.dumps(failure))
    assert (type(copy), str(copy), copy.hint) == (errors.RateLimited, str(failure), failure.hint)
    assert copy.retry_after == 30.0
    assert copy.body()["details"]["retry_after"] == 30.0


def test_what_to_do_about_a_limit_promises_nothing_that_has_ended_already() -> None:
    hint = fault(429, b"").hint
    assert "tries again" not in hint, "a person reads it when the last try has failed"
    assert "another provider" in hint
