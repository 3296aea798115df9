"""Chat with a model, in the shape that OpenAI's clients know, over HTTP with a scripted model."""

from __future__ import annotations

import httpx

from apps.accounts.models import User
from apps.accounts.services import organization_ensure
from apps.events.models import Event
from apps.providers.models import Call
from tests.api.clients import person
from tests.pairing.conftest import Room, talking, viewer_of, words

CHAT = [{"role": "user", "content": "Hi"}, {"role": "user", "content": "# Task: chat\nTitle: x"}]


def test_a_chat_completion_has_the_shape_that_openai_gives(room: Room, ann: httpx.Client) -> None:
    room.says = lambda messages: '{"actions": [{"type": "delete_file", "path": "calc/__init__.py"}]}'
    body = {"project_id": room.studio.project.pk, "messages": CHAT, "temperature": 0.5, "max_tokens": 50}
    answer = ann.post("chat/completions", json=body)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert set(told) == {"id", "object", "created", "model", "choices", "usage"}
    assert (told["object"], told["model"]) == ("chat.completion", "script")
    assert told["choices"][0]["message"]["content"].startswith('{"actions"')  # spoken, not done
    assert told["usage"]["total_tokens"] == sum(
        told["usage"][name] for name in ("prompt_tokens", "completion_tokens")
    )
    sent = room.studio.server.requests[-1].body
    assert (sent["temperature"], sent["max_tokens"], sent.get("tools")) == (0.5, 50, None)
    assert Call.objects.get().purpose == "chat"
    assert Call.objects.get().user_id == User.objects.get(username="ann").pk
    as_agent = {**body, "agent_id": str(room.agent.pk), "messages": CHAT[1:]}
    with talking(ann, "POST", "chat/completions/stream", json=as_agent) as events:
        streamed = list(events)
    assert [kind for kind, _, _ in streamed][0 :: len(streamed) - 1] == ["connected", "done"]
    assert words(streamed) == told["choices"][0]["message"]["content"]
    assert "Engineering manager" in room.asked[-1][0]["content"]
    with talking(ann, "POST", "chat/completions?stream=true", json=body) as events:
        assert words(list(events)) == words(streamed)
    assert Event.objects.filter(kind="conversation.answered", data__status="done").count() == 3


def test_who_may_chat_with_which_model(room: Room, ann: httpx.Client) -> None:
    project_id = room.studio.project.pk
    for body, status in (
        ({"messages": []}, 400), ({"messages": [{"role": "god", "content": "x"}]}, 400), ({}, 400),
        ({"messages": [{"role": "user", "content": 7}]}, 400),
        ({"messages": CHAT, "provider_id": 10**9}, 404),
        ({"messages": CHAT, "model": "gpt-99"}, 404), ({"messages": CHAT, "project_id": 10**9}, 404),
        ({"messages": CHAT, "bead_id": "no-1"}, 404), ({"messages": CHAT, "temperature": 9}, 400),
    ):  # fmt: skip
        for at in ("chat/completions", "chat/completions/stream"):
            assert ann.post(at, json=body).status_code == status, (at, body)
    good = {"messages": CHAT, "model": "script", "project_id": project_id}
    assert ann.post("chat/completions", json=good).status_code == 200
    room.studio.server.fail_next("401", times=3)
    assert ann.post("chat/completions", json=good).status_code == 502
    with room.client(viewer_of(room.studio.organization)) as viewer:
        assert viewer.post("chat/completions", json=good).status_code == 403
    with room.client(person("eve", organization_ensure(name="others"))) as other:
        assert other.post("chat/completions", json=good).status_code == 404
    with room.client() as nobody:
        assert nobody.post("chat/completions", json=good).status_code == 401
