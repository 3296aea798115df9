"""What of a session stays in sight when its turns are retold: plan, checks, files, and what it was told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

CHECKS = ("run_tests", "run_linter", "build_project")
CHANGES = ("write_file", "edit_file", "apply_patch", "move_file", "delete_file")
PLATFORM = "platform"  # who said it, where it was no remark on the reply itself
MOST_SAID, SAID_CHARS, CHECK_CHARS, MOST_FILES = 4, 1_500, 900, 60


@dataclass
class Pins:
    """Kept up to date turn by turn; everything in it is bounded."""

    plan: list[str] = field(default_factory=list)
    checks: dict[str, str] = field(default_factory=dict)
    files: dict[str, None] = field(default_factory=dict)
    said: list[str] = field(default_factory=list)

    def note(
        self, number: int, results: Sequence[Mapping[str, Any]], outcome: Sequence[Mapping[str, Any]]
    ) -> None:
        told = [result for result in results if "id" in result]
        for one, result in zip(outcome, told, strict=False):
            if "plan" in one["data"]:
                self.plan = list(one["data"]["plan"])
            elif one["name"] in CHECKS:
                text = str(result.get("text", ""))[:CHECK_CHARS].strip()
                self.checks[one["name"]] = f"{one['name']} in turn {number}: {text}"
            elif one["ok"] and one["name"] in CHANGES and one["data"].get("path"):
                self.files.pop(path := str(one["data"]["path"]), None)
                self.files[path] = None
        self.say(str(result["say"]) for result in results if result.get("by") == PLATFORM)

    def say(self, texts: Iterable[str]) -> None:
        self.said = [*self.said, *(text[:SAID_CHARS] for text in texts)][-MOST_SAID:]

    def text(self) -> str:
        """As sections of a prompt, those without content left out."""
        files = list(self.files)
        sections = {
            "Your plan": [f"- {step}" for step in self.plan],
            "Files you changed": [", ".join(files[-MOST_FILES:])] if files else [],
            "Latest checks": list(self.checks.values()),
            "What you were told, oldest first": [f"- {one}" for one in self.said],
        }
        return "\n\n".join("\n".join([f"### {title}", *lines]) for title, lines in sections.items() if lines)

    @property
    def steps_left(self) -> list[str]:
        """Steps of the plan that are not marked as done."""
        return [step for step in self.plan if not step.lower().lstrip("-* ").startswith(("[x]", "✓", "✔"))]
