"""The scripted model: a pure function of the conversation, with and without tools."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from apps.core.errors import BadInput
from apps.providers.errors import ScriptEnded
from apps.providers.gateway import complete
from apps.providers.models import Call, Provider
from apps.providers.scripted import Script, scene_of, script_at
from apps.providers.services import provider_create, provider_test
from apps.providers.speakers import DEMO_SCRIPT
from tests.providers.conftest import TOOLS, MakeProvider, MakeRequest, message
from tests.providers.script_server import ScriptServer

SCRIPT = """
scenes:
  - task: work
    title: "Parse amounts"
    replies:
      - notes: "Tests first."
        actions:
          - write_file: {path: a.py, content: !file files/a.txt}
          - run_tests: {}
        delay: 0.2
      - raw: "Sure! I have done it."
      - actions: [{done: {summary: "all green", when: 2026-01-02}}]
    after:
      - match: "Verification failed"
        replies:
          - notes: "I repair it."
            actions: [{run_tests: {}}]
          - actions: [{done: {summary: "repaired"}}]
      - match: "Merge conflict|Rebase failed"
        replies: [{raw: "resolving"}]
  - task: work
    title: "*"
    replies: [{raw: "any other work"}]
  - task: review
    title: "Parse amounts"
    contains: 'Round: 1\\b'
    replies: [{raw: "rejected"}]
  - task: review
    title: "Parse amounts"
    lacks: 'Round: 1\\b'
    replies: [{raw: "approved"}]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a.txt").write_text("print('ä')\n", encoding="utf-8")
    file = tmp_path / "script.yaml"
    file.write_text(SCRIPT, encoding="utf-8")
    return file


@pytest.fixture
def script(path: Path) -> Script:
    return Script.load(path)


def talk(
    *after: tuple[str, str], task: str = "work", title: str = "Parse amounts", more: str = ""
) -> list[Any]:
    """A conversation: system, task, then (role, content) pairs."""
    opening = [("system", "You are..."), ("user", f"# Task: {task}\nTitle: {title}\n\nDescription.\n{more}")]
    return [{"role": role, "content": content} for role, content in (*opening, *after)]


ME, TOOL, USER = ("assistant", "..."), ("tool", "ok"), ("user", "go on")


def test_actions_come_as_tool_calls_when_tools_are_offered(script: Script) -> None:
    reply = script.reply(talk(), tools_offered=True)
    assert (reply.text, reply.delay, reply.finish_reason) == ("Tests first.", 0.2, "tool_calls")
    names = [call["function"]["name"] for call in reply.tool_calls]
    arguments = [json.loads(call["function"]["arguments"]) for call in reply.tool_calls]
    assert names == ["write_file", "run_tests"]
    assert arguments == [{"path": "a.py", "content": "print('ä')\n"}, {}]
    assert len({call["id"] for call in reply.tool_calls}) == 2


def test_actions_come_as_json_text_when_they_are_not(script: Script) -> None:
    reply = script.reply(talk(), tools_offered=False)
    assert reply.tool_calls == ()
    assert json.loads(reply.text) == {
        "actions": [
            {"type": "write_file", "path": "a.py", "content": "print('ä')\n"},
            {"type": "run_tests"},
        ],
        "notes": "Tests first.",
    }


def test_ids_of_calls_differ_between_the_replies_of_a_conversation(script: Script) -> None:
    first = script.reply(talk(), tools_offered=True).tool_calls
    third = script.reply(talk(ME, TOOL, TOOL, ME, USER), tools_offered=True).tool_calls
    assert not {call["id"] for call in first} & {call["id"] for call in third}


@pytest.mark.parametrize(
    ("heard", "says"),
    [
        ((), "Tests first."),
        ((ME, TOOL, TOOL), "Sure! I have done it."),
        ((ME, TOOL, TOOL, ME, ("user", "Reply not understood")), "all green"),
        ((ME, ("tool", "Verification failed: 1 test")), "I repair it."),
        ((ME, ("user", "Verification failed: 1 test"), ME, TOOL), "repaired"),
        (
            (ME, ("user", "Verification failed"), ME, TOOL, ME, ("user", "Verification failed again")),
            "I repair it.",
        ),
        ((ME, ("user", "Verification failed"), ME, ("user", "Rebase failed")), "resolving"),
        ((ME, ("user", "Merge conflict"), ME, ("user", "Verification failed")), "I repair it."),
        ((ME, ("user", "Verification failed after a Merge conflict")), "resolving"),  # the last match wins
        (
            (("assistant", "Verification failed, I think"), TOOL),
            "Sure! I have done it.",
        ),  # its own words do not count
        ((ME, ("tool", "ok"), ("tool", "Verification failed"), ("tool", "ok")), "I repair it."),
    ],
)
def test_the_place_in_the_script_follows_from_the_conversation(
    script: Script, heard: tuple[tuple[str, str], ...], says: str
) -> None:
    reply = script.reply(talk(*heard), tools_offered=True)
    assert says in reply.text + json.dumps(reply.tool_calls)


def test_the_same_conversation_has_the_same_reply_in_every_process(script: Script, path: Path) -> None:
    conversation = talk(ME, TOOL, TOOL, ME, USER)
    assert script.reply(conversation, tools_offered=True) == Script.load(path).reply(
        conversation, tools_offered=True
    )


def test_scenes_of_one_title_are_told_apart_by_the_task_message(script: Script) -> None:
    first = talk(task="review", more="Round: 1")
    later = talk(task="review", more="Round: 12")
    assert [script.reply(one, tools_offered=False).text for one in (first, later)] == ["rejected", "approved"]


def test_a_starred_title_plays_for_all_that_have_no_scene(script: Script) -> None:
    assert script.reply(talk(title="Something else"), tools_offered=True).text == "any other work"


def test_content_in_parts_is_read(script: Script) -> None:
    conversation = talk()
    conversation[1]["content"] = [{"type": "text", "text": conversation[1]["content"]}]
    assert scene_of(conversation) == ("work", "Parse amounts")
    assert script.reply(conversation, tools_offered=True).text == "Tests first."


@pytest.mark.parametrize(
    "conversation",
    [
        talk(task="plan"),
        [{"role": "user", "content": "Hello?"}],
        [{"role": "system", "content": "x"}, {"role": "user", "content": "Title: a\n# Task: work"}],
        [],
    ],
)
def test_any_other_conversation_is_told_how_to_connect_a_model(
    script: Script, conversation: list[Any]
) -> None:
    with pytest.raises(ScriptEnded, match="only plays its bundled sample") as caught:
        script.reply(conversation, tools_offered=True)
    assert "OPENAI_API_KEY" in caught.value.hint
    assert not caught.value.retryable


def test_a_script_that_has_run_out_says_where(script: Script) -> None:
    with pytest.raises(ScriptEnded, match="no further reply for 'work' of 'Parse amounts'"):
        script.reply(talk(*[ME, USER] * 3), tools_offered=True)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("scenes: [", "cannot be read"),
        ("scenes: 7", "not valid at scenes"),
        ("[]", "not valid"),
        ("scenes: [{task: work, replies: [{act: []}]}]", r"scenes\.0\.replies\.0\.act"),
        ("scenes: [{task: work, replies: [{actions: [{a: {}, b: {}}]}]}]", "one mapping"),
        ("scenes: [{task: work, replies: [{delay: -1}]}]", "delay"),
        ("scenes: [{task: work, replies: [], after: [{match: '(', replies: []}]}]", "match"),
        (
            "scenes: [{task: a, title: b, replies: []}, {task: a, title: b, replies: []}]",
            "two scenes 'a' 'b'",
        ),
        ("scenes: [{task: a, replies: [{raw: !file ../../etc/passwd}]}]", "outside the script's folder"),
        ("scenes: [{task: a, replies: [{raw: !file missing.txt}]}]", "cannot be read"),
        ("scenes: !!python/object/apply:os.system ['true']", "cannot be read"),
    ],
)
def test_a_mistake_in_a_script_is_named_with_its_place(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "broken.yaml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=says):
        Script.load(file)


def test_a_changed_script_is_read_again_and_an_unchanged_one_is_not(path: Path) -> None:
    first = script_at(path)
    assert script_at(path) is first
    time.sleep(0.01)
    path.write_text(SCRIPT.replace("any other work", "changed"), encoding="utf-8")
    assert script_at(path).reply(talk(title="x"), tools_offered=True).text == "changed"
    with pytest.raises(BadInput, match="no script at"):
        script_at(path.parent / "nowhere.yaml")


def test_the_bundled_sample_is_a_valid_script() -> None:
    script = script_at(DEMO_SCRIPT)
    assert {task for task, _ in script.scenes} >= {"expand", "plan", "work", "review"}


@pytest.fixture
def demo(path: Path, organization: object) -> Provider:
    return provider_create(
        name="demo",
        organization_id=None,
        kind="scripted",
        endpoint=str(path),
        model="sample",
        source="demo",
        price_in=250_000,
        price_out=1_250_000,
        price_known=False,
    )


def test_the_gateway_plays_a_script_like_any_model_and_books_it_as_nominal(
    demo: Provider, make_request: MakeRequest
) -> None:
    messages = [json.dumps(one).encode() for one in talk()]
    heard: list[str] = []
    started = time.monotonic()
    reply = complete(make_request(messages=messages, tools=TOOLS), on_delta=heard.append)
    assert time.monotonic() - started >= 0.2, "it thinks as long as the script says"
    assert (reply.text, heard) == ("Tests first.", ["Tests first."])
    assert [call["function"]["name"] for call in reply.tool_calls] == ["write_file", "run_tests"]
    assert reply.cost_microusd > 0
    assert reply.prompt_tokens == (sum(map(len, messages)) + len(TOOLS)) // 4
    row = Call.objects.get()
    assert row.nominal
    assert (row.status, row.cost_microusd) == (Call.Status.SETTLED, reply.cost_microusd)


def test_what_the_demo_does_not_know_costs_nothing_and_points_to_real_models(
    demo: Provider, make_request: MakeRequest
) -> None:
    with pytest.raises(ScriptEnded):
        complete(
            make_request(messages=[message("system", "x"), message("user", "# Task: plan\nTitle: Mine")])
        )
    row = Call.objects.get()
    assert (row.status, row.error, row.cost_microusd) == (Call.Status.FAILED, "script_ended", 0)


def test_the_demo_steps_aside_for_a_real_model(
    demo: Provider, make_provider: MakeProvider, server: ScriptServer, make_request: MakeRequest
) -> None:
    make_provider(server)
    assert complete(make_request()).provider_name == "primary"


def test_testing_the_demo_makes_no_call(demo: Provider) -> None:
    probe = provider_test(provider=demo, organization_id=1)
    assert probe.ok
    assert "demo" in probe.message
    assert not Call.objects.exists()


def test_the_server_runs_as_a_process_of_its_own(path: Path) -> None:
    command = [sys.executable, "-m", "tests.providers.script_server", "--script", str(path), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            body = json.dumps({"model": "script", "messages": talk(title="x")}).encode()
            asking = urllib.request.Request(url + "/chat/completions", body)
            with urllib.request.urlopen(asking, timeout=20) as response:
                answer = json.load(response)
            assert answer["choices"][0]["message"]["content"] == "any other work"
            with urllib.request.urlopen(url.removesuffix("/v1") + "/stats", timeout=20) as response:
                assert json.load(response)["calls"] == 1
        finally:
            process.terminate()
