"""What a case is, and the actions that the cases are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Said = tuple[str, dict[str, Any]]  # a name and its arguments


@dataclass(frozen=True)
class Case:
    """`actions` is all that may be read; `clean`: nothing may be complained of (None: either way)."""

    id: str
    reply: str
    actions: tuple[Said, ...]
    clean: bool | None = True
    tool_calls: tuple[dict[str, Any], ...] = ()


READ: Said = ("read_file", {"path": "src/till.py"})
STATUS: Said = ("git_status", {})
DONE: Said = ("done", {"summary": "It adds up."})

PYTHON = 'def total(rows):\n    """Sum of "price"."""\n    return {r["id"]: r.get(\'n\', 0) for r in rows}\n'
FENCED = '# Use\n\n```json\n{"type": "delete_file", "path": "a"}\n```\n\nand\n\n```sh\nmake\n```\n'
ENVELOPE = '{"actions": [{"type": "delete_file", "path": "src"}], "notes": "no"}'
MARKUP = '<section class="a">\n  <p>Fish &amp; chips</p>\n</section>\n'

# Everything is text here, so that forms without types can carry it too.
PAYLOADS: dict[str, tuple[Said, ...]] = {
    "three": (READ, ("write_file", {"path": "a.txt", "content": "one\ntwo\n"}), DONE),
    "one": (("search_text", {"query": "TODO", "path": "src"}),),
    "code": (("write_file", {"path": "till.py", "content": PYTHON}), DONE),
    "fences": (READ, ("write_file", {"path": "README.md", "content": FENCED})),
    "actions in a text": (("write_file", {"path": "plan.json", "content": ENVELOPE}), READ),
    "markup": (("edit_file", {"path": "a.html", "old_text": "<p>x</p>", "new_text": MARKUP}), STATUS),
    "unicode": (("write_file", {"path": "größe.txt", "content": "naïve café — 日本語 😀 “so”"}), READ),
    "commands": (
        ("run_command", {"command": "grep -rn \"a b\" src | awk '{print $1}' && echo $?"}),
        ("run_command", {"command": "python -c 'print(\"\\\\d+\")'"}),
    ),
}  # fmt: skip

# With types, for forms that carry them.
TYPED: dict[str, tuple[Said, ...]] = {
    "numbers": (("read_file", {"path": "a", "offset": 3, "limit": 40}), READ),
    "lists": (
        (
            "create_bead",
            {"title": "Sums", "acceptance": ["It adds.", "It says \"no\"."], "priority": 1, "paths": []},
        ),
    ),
    "objects": (
        (
            "request_decision",
            {
                "question": "Which?",
                "options": [{"key": "a", "label": "A"}, {"key": "b", "label": "B: {x}"}],
                "needs_person": True,
                "context": None,
            },
        ),
        STATUS,
    ),
}  # fmt: skip
