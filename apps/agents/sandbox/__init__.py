"""Commands of agents and checks run here: bubblewrap, limits, an empty environment, and an end for sure."""

from __future__ import annotations

from apps.agents.sandbox.box import Sandbox
from apps.agents.sandbox.plan import Limits
from apps.agents.sandbox.records import commands_end
from apps.agents.sandbox.status import SandboxStatus, sandbox_status
from apps.agents.sandbox.tools import sandbox_modules, sandbox_program, sandbox_tools

__all__ = [
    "Limits", "Sandbox", "SandboxStatus", "commands_end", "sandbox_modules", "sandbox_program",
    "sandbox_status", "sandbox_tools",
]  # fmt: skip
