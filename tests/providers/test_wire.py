"""The wire over a real socket: kept connections, streams, timeouts, and servers that break off."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from typing import Any

import pytest

from apps.core.errors import BadInput
from apps.providers import errors, link, wire
from apps.providers.link import Patience, Server, exchange
from apps.providers.scripted import ScriptedReply
from apps.providers.wire import Ask, chat
from tests.providers.conftest import HELLO, TOOLS, hello, message
from tests.providers.script_server import ScriptServer

QUICK = Patience(connect=2.0, total=2.0, idle=0.4)


def ask(**fields: Any) -> Ask:
    messages = [message("system", "Be brief."), message("user", "Hi.")]
    return Ask(**{"model": "script", "messages": messages, "max_tokens": 50, **fields})


def at(server: ScriptServer, **fields: Any) -> Server:
    return Server(**{"url": server.url, "name": "acme", **fields})


def test_one_connection_serves_many_calls(server: ScriptServer) -> None:
    for _ in range(5):
        chat(at(server), ask(), limits=QUICK)
    for _ in range(5):
        chat(at(server), ask(stream=True), limits=QUICK)
    assert server.counters.connections == 1
    assert {request.connection for request in server.requests} == {1}


def test_a_request_is_sent_in_one_piece(server: ScriptServer, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[bytes] = []
    send = HTTPConnection.send

    def sent(self: HTTPConnection, data: bytes) -> None:
        pieces.append(data)
        send(self, data)

    monkeypatch.setattr(HTTPConnection, "send", sent)
    for number in (1, 2):  # on a new connection, and on the one that was kept
        assert chat(at(server), ask(), limits=QUICK).text
        assert len(pieces) == number
    assert all(piece.startswith(b"POST ") and piece.endswith(b"}") for piece in pieces)


def test_each_thread_has_its_own_connection(server: ScriptServer) -> None:
    server.switches.latency = 0.1

    def work() -> None:
        chat(at(server), ask(), limits=QUICK)
        chat(at(server), ask(), limits=QUICK)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (server.counters.connections, server.counters.calls) == (4, 8)


def test_a_connection_the_server_closed_meanwhile_is_replaced_unnoticed(server: ScriptServer) -> None:
    chat(at(server), ask(), limits=QUICK)
    server._http.hang_up()
    time.sleep(0.05)
    assert chat(at(server), ask(), limits=QUICK).text == HELLO
    assert server.counters.connections == 2


def test_a_kept_connection_closed_without_a_byte_is_tried_once_more(server: ScriptServer) -> None:
    chat(at(server), ask(), limits=QUICK)
    server.fail_next("close")
    assert chat(at(server), ask(), limits=QUICK).text == HELLO
    assert len(server.requests) == 3


def test_a_fresh_connection_closed_without_a_byte_is_not_tried_again(server: ScriptServer) -> None:
    server.fail_next("close", times=2)
    with pytest.raises(errors.Unreachable, match="acme broke the connection"):
        chat(at(server), ask(), limits=QUICK)
    assert len(server.requests) == 1


def test_a_server_that_says_connection_close_is_asked_on_new_ones(server: ScriptServer) -> None:
    server.switches.keep_alive = False
    for stream in (False, True):
        assert chat(at(server), ask(stream=stream), limits=QUICK).text == HELLO
    assert server.counters.connections == 2


@pytest.mark.parametrize("chunk_bytes", [0, 1, 5, 64])
def test_a_stream_cut_anywhere_arrives_whole(server: ScriptServer, chunk_bytes: int) -> None:
    server.switches.chunk_bytes = chunk_bytes
    heard: list[str] = []
    answer = chat(at(server), ask(stream=True, tools=TOOLS), limits=QUICK, on_delta=heard.append)
    assert answer.text == "".join(heard) == HELLO
    assert json.loads(answer.tool_calls[0]["function"]["arguments"]) == {"path": "a.py"}
    assert answer.usage is not None
    assert answer.finish_reason == "tool_calls"


def test_text_arrives_while_the_model_is_still_speaking(server: ScriptServer) -> None:
    server.switches.chunk_delay = 0.05
    times: list[float] = []
    started = time.monotonic()
    chat(
        at(server),
        ask(stream=True),
        limits=QUICK,
        on_delta=lambda _: times.append(time.monotonic() - started),
    )
    assert len(times) > 2
    assert times[0] < times[-1] - 0.05


def test_a_server_that_ignores_stream_is_understood(server: ScriptServer) -> None:
    server.switches.stream = False
    heard: list[str] = []
    answer = chat(at(server), ask(stream=True), limits=QUICK, on_delta=heard.append)
    assert (answer.text, heard) == (HELLO, [HELLO])


def test_a_stream_under_the_wrong_content_type_is_understood() -> None:
    event = b'data: {"choices":[{"delta":{"content":"hi"},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(event)
    with raw_server(head + event) as url:
        assert chat(Server(url), ask(stream=True), limits=QUICK).text == "hi"


@pytest.mark.parametrize(
    ("kind", "stream", "error"),
    [
        ("hang", False, errors.TimedOut),
        ("hang", True, errors.TimedOut),
        ("stall", False, errors.TimedOut),
        ("stall", True, errors.TimedOut),
        ("drop", False, errors.Unreachable),
        ("drop", True, errors.Unreachable),
        ("garbage", False, errors.Garbage),
        ("html", True, errors.Garbage),
        ("empty", False, errors.Garbage),
        ("shape", False, errors.Garbage),
        ("blank-stream", True, errors.Garbage),
        ("redirect", False, errors.Rejected),
        ("500", True, errors.ServerFailed),
    ],
)
def test_each_way_to_fail_is_told_apart_and_the_next_call_works(
    server: ScriptServer, kind: str, stream: bool, error: type[errors.CallFailed]
) -> None:
    server.fail_next(kind)
    started = time.monotonic()
    with pytest.raises(error) as caught:
        chat(at(server), ask(stream=stream), limits=QUICK)
    assert time.monotonic() - started < QUICK.total + 30
    assert str(caught.value).startswith(("acme ", "The model server "))
    assert chat(at(server), ask(stream=stream), limits=QUICK).text == HELLO


@pytest.mark.parametrize("kind", ["drop", "stall"])
def test_what_had_been_generated_before_the_break_is_known(server: ScriptServer, kind: str) -> None:
    server.fail_next(kind)
    with pytest.raises(errors.CallFailed) as caught:
        chat(at(server), ask(stream=True), limits=QUICK)
    assert caught.value.billable
    assert caught.value.usage is not None
    assert caught.value.usage.completion > 0


def test_a_slow_drip_ends_with_the_total_time(server: ScriptServer) -> None:
    server.switches.chunk_bytes, server.switches.chunk_delay = 4, 0.05
    limits = Patience(connect=1.0, total=0.8, idle=0.5)
    started = time.monotonic()
    with pytest.raises(errors.TimedOut, match=r"within 0\.8 s"):
        chat(at(server), ask(stream=True), limits=limits)
    assert time.monotonic() - started > 0.7


def test_an_answer_without_end_is_cut_off() -> None:
    with ScriptServer(lambda *_: ScriptedReply("x" * 3_000_000)) as server:
        asking = exchange(at(server), "POST", "/chat/completions", body=_body, patience=QUICK)
        with asking as answer, pytest.raises(errors.Garbage, match="more than 1 MB"):
            list(answer.pieces(limit=1 << 20))
        assert chat(at(server), ask(), limits=QUICK).text


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("http://127.0.0.1:9/v1", "Nothing listens at acme"),
        ("http://no-such-host.invalid/v1", "cannot be found"),
        ("http://a..b/v1", "cannot be"),
        ("ftp://x/v1", "is not valid"),
        ("http://127.0.0.1:notaport/v1", "is not valid"),
        ("", "is not valid"),
    ],
)
def test_an_address_nobody_answers_at_is_named(url: str, says: str) -> None:
    with pytest.raises(errors.CallFailed, match=says):
        chat(Server(url, name="acme"), ask(), limits=QUICK)


def test_a_server_that_does_not_take_the_connection_is_given_up_soon() -> None:
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        crowd = [socket.socket() for _ in range(4)]
        for one in crowd:
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
        started = time.monotonic()
        with pytest.raises(errors.CallFailed):
            chat(
                Server(f"http://127.0.0.1:{port}/v1"),
                ask(),
                limits=Patience(connect=0.3, total=0.6, idle=0.3),
            )
        assert time.monotonic() - started < 8, "the usual limit is 10 s"
        for one in crowd:
            one.close()


def test_plain_http_spoken_to_with_tls_says_so(server: ScriptServer) -> None:
    with pytest.raises(errors.Unreachable, match="does not speak TLS") as caught:
        chat(Server(server.url.replace("http:", "https:"), name="acme"), ask(), limits=QUICK)
    assert "http://" in caught.value.hint


def test_something_that_is_no_web_server_says_so() -> None:
    with (
        raw_server(b"SSH-2.0-OpenSSH_9.2\r\n") as url,
        pytest.raises(errors.Garbage, match="does not speak HTTP"),
    ):
        chat(Server(url), ask(), limits=QUICK)


def test_a_refusal_sent_before_the_whole_request_was_read_is_heard() -> None:
    answer = b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    with raw_server(answer, read=1000) as url, pytest.raises(errors.ContextTooLong):
        chat(Server(url), ask(messages=[message("user", "x" * 200_000)]), limits=QUICK)


def test_parameters_a_server_refuses_are_left_out_from_then_on() -> None:
    refusals = {
        "stream_options": "Unrecognized request argument supplied: stream_options",
        "temperature": "Unsupported value: 'temperature' does not support 0.2 with this model.",
        "max_tokens": "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
    }
    with picky_server(refusals) as (server, bodies):
        asked = ask(stream=True, temperature=0.2)
        assert chat(server, asked, limits=QUICK).text == HELLO
        assert len(bodies) == 4
        assert chat(server, asked, limits=QUICK).text == HELLO
        assert len(bodies) == 5, "learned once"
        assert bodies[-1]["max_completion_tokens"] == 50
        assert bodies[-1]["stream"] is True
        assert not {"temperature", "stream_options", "max_tokens"} & bodies[-1].keys()


def test_a_refusal_that_names_nothing_to_leave_out_is_final(server: ScriptServer) -> None:
    server.fail_next("400", body="messages[1].content is not supported")
    with pytest.raises(errors.Rejected):
        chat(at(server), ask(), limits=QUICK)
    assert len(server.requests) == 1


def test_a_query_in_the_url_is_kept(server: ScriptServer) -> None:
    chat(at(server, url=server.url + "/?api-version=3"), ask(), limits=QUICK)
    assert server.requests[0].path == "/v1/chat/completions?api-version=3"


@pytest.mark.parametrize("key", ["two words", "line\nbreak", "ключ", "tab\there"])
def test_a_key_that_cannot_stand_in_a_header_is_refused_unquoted(server: ScriptServer, key: str) -> None:
    with pytest.raises(errors.Unauthorized, match="characters that cannot be sent") as caught:
        chat(at(server, key=key), ask(), limits=QUICK)
    assert key not in str(caught.value)
    assert server.requests == []


def test_the_models_a_server_has_are_listed(server: ScriptServer) -> None:
    server.switches.models = ("one", "two")
    assert [model["id"] for model in wire.models(at(server), limits=QUICK)] == ["one", "two"]


def test_a_forked_child_does_not_share_its_parents_connection(server: ScriptServer) -> None:
    chat(at(server), ask(), limits=QUICK)
    child = os.fork()
    if child == 0:
        os._exit(0 if not link._lines() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    chat(at(server), ask(), limits=QUICK)
    assert server.counters.connections == 1


def test_the_key_is_in_no_repr_and_no_error(server: ScriptServer) -> None:
    server.switches.key = "sk-right-0123456789"
    given = at(server, key="sk-wrong-9876543210")
    with pytest.raises(errors.Unauthorized) as caught:
        chat(given, ask(), limits=QUICK)
    assert "wrong" not in repr(given) + str(caught.value) + repr(caught.value.body())


@pytest.mark.parametrize("value", ["soon", "0", "-5", "nan"])
def test_a_senseless_timeout_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("LOOM_MODEL_TIMEOUT", value)
    with pytest.raises(BadInput, match="LOOM_MODEL_TIMEOUT"):
        wire.patience()


def test_the_timeout_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (wire.patience().total, wire.patience().idle) == (600.0, 120.0)
    monkeypatch.setenv("LOOM_MODEL_TIMEOUT", "5")
    assert wire.patience() == Patience(connect=5.0, total=5.0, idle=5.0)


def _body() -> bytes:
    return wire.encode(ask(), wire.Dialect())


@contextmanager
def raw_server(answer: bytes, *, read: int = 1 << 20) -> Iterator[str]:
    """A socket that reads up to `read` bytes, sends fixed bytes, and closes."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(5)

        def serve() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(read)
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                    time.sleep(0.2)

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"


@contextmanager
def picky_server(refusals: dict[str, str]) -> Iterator[tuple[Server, list[dict[str, Any]]]]:
    """Refuses parameters by name, one at a time, like reasoning models and old servers do."""
    bodies: list[dict[str, Any]] = []

    def refusal(body: dict[str, Any]) -> str:
        bodies.append(body)
        return next((said for name, said in refusals.items() if name in body), "")

    with ScriptServer(hello) as server:
        _refuse(server, refusal)
        yield at(server), bodies


def _refuse(server: ScriptServer, refusal: Callable[[dict[str, Any]], str]) -> None:
    handler: Any = server._http.RequestHandlerClass
    complete = handler._complete

    def picky(self: Any, body: dict[str, Any], size: int) -> None:
        said = refusal(body)
        if said:
            self._error(400, said, "unsupported_parameter")
        else:
            complete(self, body, size)

    handler._complete = picky
