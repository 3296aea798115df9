"""Secrets in every spelling that a command can print them in."""

from __future__ import annotations

import base64
import html
import json
import logging
import shlex
from urllib.parse import quote, quote_plus

import pytest

from apps.core import masking
from apps.core.masking import (
    MASK,
    Masker,
    MaskingFormatter,
    environment_secrets,
    is_secret,
    masker,
    secrets_note,
)

SECRET = "s3cr3t/Pa$$ w\"ö+rd&<4711>'x"
PLAIN = "canary-4711-Zebra"
masker_of_both = Masker([SECRET, PLAIN])


def wrapped(text: str, width: int) -> str:
    return "\n".join(text[at : at + width] for at in range(0, len(text), width))


@pytest.mark.parametrize("secret", [SECRET, PLAIN])
@pytest.mark.parametrize(
    "spell",
    [
        str,
        lambda s: wrapped(s, 5),
        lambda s: s[::-1],
        lambda s: json.dumps({"k": s}),
        lambda s: json.dumps(s, ensure_ascii=False),
        lambda s: json.dumps(json.dumps({"k": s})),
        quote,
        quote_plus,
        lambda s: quote(s, safe=""),
        html.escape,
        shlex.quote,
        repr,
        lambda s: s.encode().hex(),
        lambda s: s.encode().hex().upper(),
        lambda s: s.encode().hex(" "),
        lambda s: wrapped(s.encode().hex(), 60),
        *(
            lambda s, lead=lead: base64.b64encode(b"user:x"[:lead] + s.encode() + b" tail").decode()
            for lead in range(6)
        ),
        lambda s: wrapped(base64.b64encode(b"ab" + s.encode() * 9).decode(), 76),
        lambda s: base64.urlsafe_b64encode(s.encode()).decode(),
        lambda s: base64.b32encode(b"abc" + s.encode()).decode(),
    ],
)
def test_a_secret_is_found_in_every_spelling(secret: str, spell: object) -> None:
    told = f"before {spell(secret)} after"  # type: ignore[operator]
    masked = masker_of_both.text(told)
    assert MASK in masked
    assert masked.startswith("before ")
    assert masked.endswith(" after")
    for piece in (secret[:8], secret[-8:], secret[2:10]):
        assert piece not in masked
    left = masked.removeprefix("before ").removesuffix(" after").replace(MASK, "")
    assert len(left) <= 16, "only what stood beside it"


def test_other_text_stays_as_it_is() -> None:
    for text in (
        "",
        "canary",
        "canary-4711-zebra is another",
        "a\n" * 1000,
        "x = [1]\n\tif y:\r\n",
        "ü" * 50,
    ):
        assert masker_of_both.text(text) == text
    assert masker_of_both.text(f"a {PLAIN} b {PLAIN}\n") == f"a {MASK} b {MASK}\n"


def test_json_values_are_masked_and_keys_and_numbers_stay() -> None:
    value = {"a": [PLAIN, 1, None, {"b": f"x{SECRET}"}], PLAIN: True}
    assert masker_of_both.value(value) == {"a": [MASK, 1, None, {"b": f"x{MASK}"}], PLAIN: True}
    same = {"a": 1}
    assert masker_of_both.value(same) is same


def test_each_long_line_of_a_key_is_a_secret_of_its_own() -> None:
    lines = ["MIIEowIBAAKCAQEA" + letter * 48 for letter in "xyz"]
    masked = Masker(["\n".join(lines)]).text(f"grep said: {lines[1]}")
    assert masked == f"grep said: {MASK}"


@pytest.mark.parametrize(
    "key",
    [
        "AKIAIOSFODNN7EXAMPLE", "ghp_" + "a1B2" * 9, "sk-ant-api03-" + "a1" * 20, "xoxb-123456789012-abcdef",
        "AIza" + "a" * 35, "glpat-" + "x" * 20, "npm_" + "a" * 36,
        "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n-----END OPENSSH PRIVATE KEY-----",
    ],
)  # fmt: skip
def test_keys_of_known_services_are_masked_without_being_known(key: str) -> None:
    assert Masker([]).text(f"token: {key}, ok") == f"token: {MASK}, ok"


def test_what_is_no_secret_is_not_taken_for_one() -> None:
    assert not [
        word for word in ("", "short1", "password", "/etc/passwd1", "http://x.y/1") if is_secret(word)
    ]
    assert is_secret("correcthorsebatterystaple")
    found = environment_secrets(
        {
            "FOO_API_KEY": "abc12345",
            "MONKEY": "banana123",
            "DATABASE_URL": "postgres://loom:pw-4711-x@db/loom",
            "HOME": "/root",
            "BROKEN": "http://[a@b",
        }.items()
    )
    assert [value for value in found if value] == ["abc12345", "pw-4711-x"]


def test_a_scope_masks_its_own_and_what_everybody_must_not_see(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(masking, "_known", {})
    monkeypatch.setattr(masking, "_maskers", {})
    monkeypatch.setenv("SOME_TOKEN", "env-canary-1")
    secrets_note("scoped-canary-2", scope="project:1")
    text = "env-canary-1 scoped-canary-2"
    assert masker().text(text) == f"{MASK} scoped-canary-2"
    assert masker("project:1").text(text) == f"{MASK} {MASK}"
    assert masker("project:2").text(text) == f"{MASK} scoped-canary-2"
    record = logging.LogRecord("x", 20, "f", 1, "said %s", (text,), None)
    assert MaskingFormatter("%(message)s").format(record) == f"said {MASK} {MASK}"


def test_a_secret_told_in_pieces_shows_in_none_of_them() -> None:
    told = f"The key is {SECRET} and {PLAIN}, also ghp_{'a1B2' * 9}."
    for size in (1, 2, 3, 7, 20):
        shown, waiting = "", ""
        for at in range(0, len(told), size):
            waiting += told[at : at + size]
            safe = masker_of_both.safe(waiting)
            shown, waiting = shown + masker_of_both.text(waiting[:safe]), waiting[safe:]
        shown += masker_of_both.text(waiting)
        assert shown == f"The key is {MASK} and {MASK}, also {MASK}.", size
