"""The repository that sessions of the benchmark look into."""

from __future__ import annotations

LINES = 400
FILE = "library/words.py"


def files() -> dict[str, bytes | None]:
    body = "".join(f"word_{number:03} = 'the value of word {number}'\n" for number in range(LINES))
    return {
        FILE: body.encode(),
        "library/__init__.py": b"",
        "AGENTS.md": b"Keep it simple.\n",
        "tests/test_words.py": b"from library import words\n\n\ndef test_words():\n    assert words\n",
        "pyproject.toml": b'[project]\nname = "library"\nversion = "0"\n\n[tool.pytest.ini_options]\n',
    }
