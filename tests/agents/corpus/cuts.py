"""Replies that break off: every complete action before the cut is read, and the cut one is told."""

from __future__ import annotations

from collections.abc import Iterator

from tests.agents.corpus.cases import DONE, READ, Case, Said
from tests.agents.corpus.forms import JSON_FORMS, PYTHON_FORMS, TEXT_FORMS, Form

WRITE: Said = ("write_file", {"path": "a.txt", "content": 'say "two" {of} [them]\nand </more>'})
THREE = (READ, WRITE, DONE)

# Forms whose calls end where a new one begins, so that a cut can be placed by the words of the payload.
ONE_BY_ONE = (
    "envelope", "indented", "a list", "lines", "action", "fenced", "bags", "parameters", "tool_use", "Hermes",
    "Mistral", "Mistral with names", "DeepSeek R1", "DeepSeek V3.1", "Kimi", "gpt-oss", "Llama function",
    "the name as key", "Qwen coder", "invoke", "GLM", "ReAct", "tags named for the action", "Python",
)  # fmt: skip
# A cut right behind these words, and how many of the three actions are complete there.
PLACES = {
    "in the first name": ("read_f", 0),
    "in the first path": ("src/ti", 0),
    "in the second name": ("write_f", 1),
    "behind a key": ("content", 1),
    "in a text": ("say", 1),
    "in a text with brackets": ("{of", 1),
    "in the last text": ("It add", 2),
}  # fmt: skip


def cut_cases() -> Iterator[Case]:
    forms: dict[str, Form] = JSON_FORMS | TEXT_FORMS | PYTHON_FORMS
    for form in ONE_BY_ONE:
        text = forms[form](THREE)
        for place, (word, whole) in PLACES.items():
            cut = text[: text.index(word) + len(word)]
            # Broken off before anything names an action, it may be taken for plain words.
            yield Case(f"cut {place}: {form}", cut, THREE[:whole], False if whole in (0,) else None)
