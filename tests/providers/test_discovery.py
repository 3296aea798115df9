"""What the environment and this machine offer, and which rows it becomes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from apps.core.errors import BadInput
from apps.events.models import Event
from apps.providers import errors
from apps.providers.discovery import LOCAL_SERVERS, Found, is_local, normal_url, providers_detect
from apps.providers.gateway import complete
from apps.providers.link import Patience, Server
from apps.providers.models import Provider
from apps.providers.pricing import ASSUMED, FREE, Price
from apps.providers.services import (
    provider_create,
    provider_disable,
    provider_sync_environment,
    provider_update,
)
from tests.providers.conftest import HELLO, MakeRequest
from tests.providers.script_server import ScriptServer

QUIET = {"LOOM_DETECT_LOCAL": "off"}


def detect(env: Mapping[str, str], **listed: list[dict[str, Any]]) -> list[Found]:
    """Detection on a machine on which exactly the servers in `listed` run."""

    def listing(server: Server, limits: Patience) -> list[dict[str, object]]:
        del limits
        if server.name not in listed:
            raise errors.Unreachable(f"Nothing listens at {server.label}.")
        return listed[server.name]

    return providers_detect(env, list_models=listing)


def test_an_empty_environment_offers_nothing() -> None:
    assert detect({}) == []


@pytest.mark.parametrize(
    ("variable", "name", "kind", "model"),
    [
        ("OPENAI_API_KEY", "openai", "openai", "gpt-5.4"),
        ("ANTHROPIC_API_KEY", "anthropic", "litellm", "anthropic/claude-sonnet-5"),
        ("GEMINI_API_KEY", "gemini", "litellm", "gemini/gemini-3.7-flash"),
        ("GOOGLE_API_KEY", "gemini", "litellm", "gemini/gemini-3.7-flash"),
        ("OPENROUTER_API_KEY", "openrouter", "openai", "anthropic/claude-sonnet-4.6"),
        ("MISTRAL_API_KEY", "mistral", "openai", "devstral-latest"),
        ("GROQ_API_KEY", "groq", "openai", "openai/gpt-oss-120b"),
        ("DEEPSEEK_API_KEY", "deepseek", "openai", "deepseek-chat"),
        ("XAI_API_KEY", "xai", "openai", "grok-4.6"),
        ("TOGETHER_API_KEY", "together", "openai", "zai-org/GLM-4.7"),
    ],
)
def test_each_vendors_variable_is_understood(variable: str, name: str, kind: str, model: str) -> None:
    (found,) = detect({variable: " key-123 "})
    assert (found.name, found.kind, found.model, found.key) == (name, kind, model, "key-123")
    assert (found.source, found.price.known, found.supports_tools) == ("environment", True, True)
    assert found.context_window >= 100_000
    assert found.endpoint.startswith("https://") is (kind == "openai")
    assert "key-123" not in repr(found)


def test_several_keys_give_several_providers_and_blank_ones_none() -> None:
    env = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "GROQ_API_KEY": "  "}
    assert {found.name for found in detect(env)} == {"openai", "anthropic"}


@pytest.mark.parametrize(
    ("wanted", "openai", "anthropic"),
    [
        ("gpt-5-mini", "gpt-5-mini", "anthropic/claude-sonnet-5"),
        ("openai/gpt-5-mini", "gpt-5-mini", "anthropic/claude-sonnet-5"),
        ("anthropic/claude-opus-5", "gpt-5.4", "anthropic/claude-opus-5"),
    ],
)
def test_a_chosen_model_is_for_the_vendor_that_has_it(wanted: str, openai: str, anthropic: str) -> None:
    env = {"OPENAI_API_KEY": "a", "ANTHROPIC_API_KEY": "b", "LOOM_MODEL": wanted}
    assert {found.name: found.model for found in detect(env)} == {"openai": openai, "anthropic": anthropic}


def test_a_model_no_price_list_knows_gets_an_assumed_price_and_says_so() -> None:
    (found,) = detect({"OPENAI_API_KEY": "a", "LOOM_MODEL": "gpt-99-experimental"})
    assert (found.model, found.price) == ("gpt-99-experimental", ASSUMED)
    assert not found.price.known


@pytest.mark.parametrize("key", ["", "key-for-it"])
def test_a_vendor_with_its_own_login_is_reached_by_the_name_of_the_model(key: str) -> None:
    model = "bedrock/anthropic.claude-v2"
    (found,) = detect({"LOOM_MODEL": model, "LOOM_API_KEY": key})
    assert (found.name, found.kind, found.model, found.key) == ("bedrock", "litellm", model, key)


@pytest.mark.parametrize("model", ["gpt-5", "meta-llama/llama", "nonsense/x"])
def test_the_name_of_a_model_alone_is_not_enough_for_others(model: str) -> None:
    assert detect({"LOOM_MODEL": model}) == []


def test_another_base_url_for_openai_is_used() -> None:
    (found,) = detect({"OPENAI_API_KEY": "a", "OPENAI_BASE_URL": "https://proxy.example/openai/v1/"})
    assert found.endpoint == "https://proxy.example/openai/v1"


def test_a_named_server_is_the_whole_answer() -> None:
    env = {
        "LOOM_PROVIDER_URL": "models.example:9000",
        "LOOM_MODEL": "qwen",
        "LOOM_API_KEY": "secret",
        "LOOM_TOOLS": "off",
        "LOOM_STREAM": "off",
        "LOOM_CONTEXT_WINDOW": "32768",
        "LOOM_PRICE_IN": "0.25",
        "LOOM_PRICE_OUT": "1.5",
        "OPENAI_API_KEY": "meant for other programs",
    }
    (found,) = detect(env, ollama=[{"id": "llama"}])
    assert (found.endpoint, found.model, found.key) == ("http://models.example:9000/v1", "qwen", "secret")
    assert (found.supports_tools, found.supports_streaming, found.context_window) == (False, False, 32768)
    assert found.price == Price(250_000, 1_500_000)


@pytest.mark.parametrize(("value", "tools"), [("on", True), ("OFF", False), ("auto", None), ("", None)])
def test_whether_a_model_takes_tools_may_be_said_or_left_to_be_found_out(
    value: str, tools: bool | None
) -> None:
    env = {"LOOM_PROVIDER_URL": "http://h/v1", "LOOM_MODEL": "m", "LOOM_TOOLS": value}
    assert detect(env)[0].supports_tools is tools


@pytest.mark.parametrize(
    ("url", "price"),
    [
        ("http://127.0.0.1:5000/v1", FREE),
        ("http://localhost:5000", FREE),
        ("https://models.example/v1", ASSUMED),
    ],
)
def test_a_server_on_this_machine_is_free_and_a_strange_one_is_not(url: str, price: Price) -> None:
    assert detect({"LOOM_PROVIDER_URL": url, "LOOM_MODEL": "m"})[0].price == price


def test_without_a_model_the_named_server_is_asked_for_its_first(server: ScriptServer) -> None:
    server.switches.models = ("the-one", "another")
    (found,) = providers_detect({"LOOM_PROVIDER_URL": server.url})
    assert found.model == "the-one"


def test_a_named_server_that_lists_no_models_needs_one_named(server: ScriptServer) -> None:
    server.switches.models = ()
    with pytest.raises(BadInput, match="LOOM_MODEL is not set") as caught:
        providers_detect({"LOOM_PROVIDER_URL": server.url})
    assert "LOOM_MODEL" in caught.value.hint
    with pytest.raises(errors.Unreachable, match="Nothing listens"):
        providers_detect({"LOOM_PROVIDER_URL": "http://127.0.0.1:9"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("LOOM_PROVIDER_URL", "ftp://x"),
        ("LOOM_PROVIDER_URL", "http://user:password@host/v1"),
        ("LOOM_TOOLS", "maybe"),
        ("LOOM_STREAM", "2"),
        ("LOOM_CONTEXT_WINDOW", "128k"),
        ("LOOM_CONTEXT_WINDOW", "99999999999"),
        ("LOOM_PRICE_IN", "cheap"),
        ("LOOM_PRICE_OUT", "-1"),
        ("LOOM_PRICE_OUT", "nan"),
    ],
)
def test_a_senseless_variable_is_named(name: str, value: str) -> None:
    with pytest.raises(BadInput) as caught:
        detect({"LOOM_PROVIDER_URL": "http://h/v1", "LOOM_MODEL": "m", name: value})
    assert name in str(caught.value) or value in str(caught.value) or "password" in str(caught.value)


def test_local_servers_are_found_by_the_models_they_list() -> None:
    found = detect(
        {},
        ollama=[{"id": "nomic-embed-text"}, {"id": "qwen3:8b"}],
        vllm=[{"id": "meta/llama", "max_model_len": 16384}],
        llamacpp=[{"id": "phi", "meta": {"n_ctx": 4096}}],
        lmstudio=[],
    )
    assert [(one.name, one.source, one.model, one.price) for one in found] == [
        ("ollama", "local", "qwen3:8b", FREE),
        ("vllm", "local", "meta/llama", FREE),
        ("llamacpp", "local", "phi", FREE),
    ]
    assert [one.context_window for one in found] == [0, 16384, 4096]


def test_local_servers_are_not_asked_when_that_is_switched_off() -> None:
    assert detect(QUIET, ollama=[{"id": "qwen3"}]) == []


def test_our_own_pages_are_not_taken_for_a_model_server(
    server: ScriptServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = server.url.removesuffix("/v1")
    monkeypatch.setattr("apps.providers.discovery.LOCAL_SERVERS", (("web", f"{root}/elsewhere"),))
    assert providers_detect({}) == []
    monkeypatch.setattr("apps.providers.discovery.LOCAL_SERVERS", (("models", server.url),))
    assert [found.name for found in providers_detect({})] == ["models"]
    assert all(is_local(url) for _, url in LOCAL_SERVERS)


@pytest.mark.parametrize(
    ("given", "normal"),
    [
        ("http://h:1/v1", "http://h:1/v1"),
        ("http://h:1", "http://h:1/v1"),
        ("h:1/", "http://h:1/v1"),
        (" https://h/api/v1/ ", "https://h/api/v1"),
        ("https://h/v1/chat/completions", "https://h/v1"),
        ("https://h/openai?api-version=1", "https://h/openai?api-version=1"),
    ],
)
def test_urls_are_understood_as_people_write_them(given: str, normal: str) -> None:
    assert normal_url(given) == normal


@pytest.mark.parametrize(
    "url",
    [
        "",
        "   ",
        "http://",
        "ftp://x/v1",
        "http:///v1",
        "http://[abc",
        "http://a\u2100b",
        "h:99999",
        "h:port",
        "h:0",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(BadInput, match="no URL of a model server"):
        normal_url(url)


# -- rows ------------------------------------------------------------------------------------------------


def shared() -> dict[str, Provider]:
    return {row.name: row for row in Provider.objects.filter(organization=None)}


@pytest.mark.django_db
def test_with_nothing_connected_the_demo_stands_in_at_a_nominal_price() -> None:
    (demo,) = provider_sync_environment(QUIET)
    assert (demo.name, demo.kind, demo.source) == ("demo", "scripted", "demo")
    assert (demo.price_in, demo.price_out, demo.price_known) == (250_000, 1_250_000, False)
    assert [row.pk for row in provider_sync_environment(QUIET)] == [demo.pk], "again is no change"
    assert Event.objects.count() == 1


@pytest.mark.django_db
def test_rows_follow_the_environment() -> None:
    provider_sync_environment({**QUIET, "OPENAI_API_KEY": "one"})
    assert set(shared()) == {"openai"}
    first = shared()["openai"]
    provider_sync_environment(
        {**QUIET, "OPENAI_API_KEY": "two", "GROQ_API_KEY": "g", "LOOM_MODEL": "gpt-5-mini"}
    )
    rows = shared()
    assert set(rows) == {"openai", "groq"}
    assert rows["openai"].pk == first.pk
    assert (rows["openai"].reveal_key(), rows["openai"].model) == ("two", "gpt-5-mini")
    provider_sync_environment(QUIET)
    assert set(shared()) == {"demo"}
    kinds = [event.kind for event in Event.objects.order_by("id")]
    assert kinds.count("provider.registered") == 3
    assert kinds.count("provider.deleted") == 2


@pytest.mark.django_db
def test_an_unchanged_environment_changes_nothing() -> None:
    env = {**QUIET, "OPENAI_API_KEY": "one"}
    provider_sync_environment(env)
    Provider.objects.update(status="healthy", latency_ms=321)
    sealed = shared()["openai"].sealed_key
    provider_sync_environment(env)
    row = shared()["openai"]
    assert (row.status, row.latency_ms, row.sealed_key) == ("healthy", 321, sealed)
    assert Event.objects.count() == 1


@pytest.mark.django_db
def test_a_new_key_wipes_the_old_failures() -> None:
    provider_sync_environment({**QUIET, "OPENAI_API_KEY": "bad"})
    Provider.objects.update(status="failed", last_error="refused", consecutive_failures=9)
    provider_sync_environment({**QUIET, "OPENAI_API_KEY": "good"})
    row = shared()["openai"]
    assert (row.status, row.last_error, row.consecutive_failures) == ("pending", "", 0)


@pytest.mark.django_db
def test_what_an_operator_changed_or_a_call_taught_stays() -> None:
    env = {**QUIET, "LOOM_PROVIDER_URL": "http://h/v1", "LOOM_MODEL": "m"}
    (row,) = provider_sync_environment(env)
    provider_disable(provider_id=row.pk)
    provider_update(provider_id=row.pk, max_concurrency=2, tags=["gpu"])
    Provider.objects.update(supports_tools=False)
    provider_sync_environment(env)
    kept = shared()["default"]
    assert (kept.enabled, kept.max_concurrency, kept.tags, kept.supports_tools) == (False, 2, ["gpu"], False)
    provider_sync_environment({**env, "LOOM_MODEL": "other"})
    assert shared()["default"].supports_tools is None, "another model has to be tried anew"


@pytest.mark.django_db
def test_a_provider_made_by_hand_is_left_alone() -> None:
    made = provider_create(name="openai", organization_id=None, endpoint="https://mine.example/v1", model="m")
    provider_sync_environment({**QUIET, "OPENAI_API_KEY": "one"})
    assert shared()["openai"].endpoint == "https://mine.example/v1"
    provider_sync_environment(QUIET)
    assert set(shared()) == {"openai"}, "no demo beside a real provider"
    provider_disable(provider_id=made.pk)
    provider_sync_environment(QUIET)
    assert set(shared()) == {"openai", "demo"}


def test_a_detected_server_answers_calls(server: ScriptServer, make_request: MakeRequest) -> None:
    server.switches.key = "sk-env-12345678"
    env = {"LOOM_PROVIDER_URL": server.url, "LOOM_MODEL": "script", "LOOM_API_KEY": "sk-env-12345678"}
    provider_sync_environment({**QUIET, **env})
    reply = complete(make_request())
    assert (reply.text, reply.cost_microusd) == (HELLO, 0)


@pytest.mark.django_db
def test_a_server_that_moved_keeps_the_key_that_stands_beside_its_url() -> None:
    env = {
        **QUIET,
        "LOOM_MODEL": "small",
        "LOOM_API_KEY": "one",
        "LOOM_PROVIDER_URL": "http://127.0.0.1:9/v1",
    }
    provider_sync_environment(env)
    (moved,) = provider_sync_environment({**env, "LOOM_PROVIDER_URL": "http://127.0.0.1:10/v1"})
    assert (moved.endpoint, moved.reveal_key()) == ("http://127.0.0.1:10/v1", "one")
