"""The way through LiteLLM: the same answers and the same errors as the direct wire."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time

import pytest

from apps.providers import errors, litellm_client
from apps.providers.gateway import complete
from apps.providers.link import Patience, Server
from apps.providers.models import Call, Provider
from apps.providers.scissors import Scissors, cuttable
from apps.providers.wire import Ask
from tests.providers.conftest import HELLO, TOOLS, MakeProvider, MakeRequest, message
from tests.providers.script_server import ScriptServer

pytestmark = [
    pytest.mark.slow,
    pytest.mark.together,  # each process would take 5 s to import LiteLLM
    pytest.mark.filterwarnings("ignore:Accessing the 'model_:DeprecationWarning"),  # LiteLLM does so
]
LIMITS = Patience(connect=5, total=20, idle=20)


@pytest.fixture(scope="module", autouse=True)
def loaded() -> None:
    """It takes seconds to load: not while a test holds its transaction, which PostgreSQL would end."""
    litellm_client._litellm()


@pytest.fixture
def through(make_provider: MakeProvider, server: ScriptServer) -> Provider:
    return make_provider(server, kind="litellm", model="openai/script", key="sk-litellm-12345678")


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_through_litellm_is_answered_and_booked(
    through: Provider, server: ScriptServer, make_request: MakeRequest, stream: bool
) -> None:
    heard: list[str] = []
    reply = complete(make_request(tools=TOOLS, temperature=0.3), on_delta=heard.append if stream else None)
    assert reply.text == HELLO
    assert "".join(heard) == (HELLO if stream else "")
    assert [call["function"] for call in reply.tool_calls] == [
        {"name": "read_file", "arguments": '{"path": "a.py"}'}
    ]
    sent = server.requests[0]
    assert sent.headers["authorization"] == "Bearer sk-litellm-12345678"
    assert (sent.body["temperature"], bool(sent.body.get("stream"))) == (0.3, stream)
    assert sent.body["tools"] == json.loads(TOOLS)
    row = Call.objects.get()
    assert (row.status, row.prompt_tokens) == (Call.Status.SETTLED, server.counters.prompt_tokens)
    assert row.cost_microusd == reply.cost_microusd == reply.prompt_tokens + 4 * reply.completion_tokens


@pytest.mark.parametrize(
    ("kind", "body", "error"),
    [
        ("401", "Incorrect API key provided: sk-litellm-12345678", errors.Unauthorized),
        ("404", "The model does not exist", errors.ModelMissing),
        ("429", "slow down", errors.RateLimited),
        ("429", "You exceeded your current quota", errors.OutOfCredit),
        ("400", "This model's maximum context length is 4096 tokens", errors.ContextTooLong),
        ("400", "script does not support tools", errors.ToolsUnsupported),
        ("400", "strange request", errors.Rejected),
        ("500", "internal", errors.ServerFailed),
        ("503", "overloaded", errors.ServerFailed),
    ],
)
def test_its_exceptions_become_the_same_errors(
    server: ScriptServer, kind: str, body: str, error: type[errors.CallFailed]
) -> None:
    server.fail_next(kind, body=body, retry_after="33" if kind == "429" else "")
    ask = Ask("openai/script", [message("user", "Hi.")], 20, tools=TOOLS)
    with pytest.raises(errors.CallFailed) as caught:
        litellm_client.chat(Server(server.url, "sk-litellm-12345678", "acme"), ask, limits=LIMITS)
    failure = caught.value
    assert type(failure) is error
    assert "acme" in str(failure)
    assert "litellm." not in str(failure)
    assert "12345678" not in str(failure) + str(failure.body())
    if error is errors.RateLimited:
        assert failure.retry_after == 33
    assert len(server.requests) == 1, "LiteLLM does not try again by itself"


def test_an_unreachable_server_and_a_hanging_one_are_told_apart(server: ScriptServer) -> None:
    ask = Ask("openai/script", [message("user", "Hi.")], 20)
    with pytest.raises(errors.CallFailed) as caught:
        litellm_client.chat(Server("http://127.0.0.1:9/v1", "k", "acme"), ask, limits=LIMITS)
    assert isinstance(caught.value, errors.Unreachable | errors.ServerFailed)
    assert caught.value.retryable
    server.fail_next("hang")
    with pytest.raises(errors.TimedOut, match="acme"):
        litellm_client.chat(Server(server.url, "k", "acme"), ask, limits=Patience(1, 1, 1))


@pytest.mark.parametrize(("silence", "heard"), [("hang", False), ("stall", True)])
def test_a_call_through_it_is_cut_while_its_server_says_nothing(
    server: ScriptServer, silence: str, heard: bool
) -> None:
    said: list[str] = []
    scissors = Scissors(lambda: errors.CallFailed("Stopped."))
    timer = threading.Timer(0.1, scissors.cut)

    def hear(text: str) -> None:
        said.append(text)
        if not timer.is_alive():
            timer.start()

    server.fail_next(silence)
    if not heard:
        timer.start()
    ask = Ask("openai/script", [message("user", "Hi.")], 20, stream=True)
    began = time.monotonic()
    with pytest.raises(errors.CallFailed, match="Stopped") as caught, cuttable(scissors):
        litellm_client.chat(Server(server.url, "k", "acme"), ask, limits=LIMITS, on_delta=hear)
    assert time.monotonic() - began < LIMITS.total / 2
    assert bool(said) == bool(caught.value.usage) == heard, "what was said is paid for"


def test_a_vendor_litellm_does_not_know_is_an_error_of_ours() -> None:
    ask = Ask("nosuchvendor/model", [message("user", "Hi.")], 20)
    with pytest.raises(errors.CallFailed, match="acme"):
        litellm_client.chat(Server("", "k", "acme"), ask, limits=LIMITS)


def test_no_process_pays_for_litellm_before_it_calls_through_it() -> None:
    code = (
        "import os, sys; os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'tests.settings'); import django; "
        "django.setup(); from apps.providers import gateway, services, speakers; "
        "assert 'litellm' not in sys.modules and 'openai' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
