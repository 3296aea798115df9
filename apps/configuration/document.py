"""What a configuration may say: one document for an organization, with no secret in it.

Parts that are left out, and fields of a part, stay as they are; unknown ones are refused.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic import JsonValue as Json

from apps.core.errors import BadInput

VERSION: Literal[1] = 1
MOST = 1000  # parts of a kind
MOST_TOLD = 20  # faults that are told at once

NEEDED = {
    "personas": "personas:write",
    "workflows": "workflows:write",
    "providers": "providers:write",
    "motivations": "motivations:write",
    "projects": "projects:write",
    "merging": "projects:admin",
    "command_rules": "projects:admin",
    "allow_network": "projects:admin",
    "allow_install": "projects:admin",
}

Name = Annotated[str, Field(min_length=1, max_length=200)]
Line = Annotated[str, Field(max_length=1000)]
Text = Annotated[str, Field(max_length=200_000)]
Count = Annotated[int, Field(ge=0, le=2**31 - 1)]
Usd = Annotated[float, Field(ge=0, le=1_000_000_000)] | None


class Part(BaseModel):
    # Built when somebody first reads a document, which few processes ever do.
    model_config = ConfigDict(defer_build=True, extra="forbid", strict=True)

    @property
    def said(self) -> dict[str, Any]:
        """The fields that the document names."""
        return {name: getattr(self, name) for name in self.model_fields_set}


class PersonaPart(Part):
    name: Name
    text: Text


class MotivationPart(Part):
    name: Name
    type: Name
    condition: Name
    status: Literal["active", "disabled"] = "active"
    description: Text = ""
    agent_role: Line = ""
    parameters: dict[str, Json] = {}
    cooldown_minutes: Count = 5
    priority: Annotated[int, Field(ge=0, le=4)] = 2
    create_bead: bool = True
    bead_template: dict[str, Json] = {}
    wake_agent: bool = False
    is_built_in: bool = False


class ProviderPart(Part):
    name: Annotated[str, Field(min_length=1, max_length=80)]
    kind: Literal["openai", "litellm"] = "openai"
    endpoint: Annotated[str, Field(max_length=500)] = ""
    model: Annotated[str, Field(min_length=1, max_length=200)]
    context_window: Count = 0
    max_output: Count = 0
    supports_tools: bool | None = None
    supports_streaming: bool = True
    supports_vision: bool = False
    price_in: Count = 0
    price_out: Count = 0
    price_cached: Count | None = None
    price_known: bool = False
    quality: Annotated[int, Field(ge=0, le=100)] = 50
    max_concurrency: Annotated[int, Field(ge=0, le=10_000)] = 0
    tags: Annotated[list[Line], Field(max_length=200)] = []
    enabled: bool = True
    has_key: bool = False  # told for people; keys are given by hand


class CheckPart(Part):
    kind: Annotated[str, Field(max_length=20)] = "test"
    name: Annotated[str, Field(max_length=120)] = ""
    command: Annotated[str, Field(min_length=1, max_length=2000)]


class RulePart(Part):
    pattern: Annotated[str, Field(min_length=1, max_length=500)]
    verdict: Literal["allow", "ask", "deny"]
    reason: Annotated[str, Field(max_length=300)] = ""


class MergingPart(Part):
    strategy: Literal["direct", "branch-pr"] = "direct"
    tampering: Literal["warn", "block"] = "warn"
    overlap: Literal["serialize", "parallel"] = "serialize"
    batch_size: Annotated[int, Field(ge=1, le=50)] = 8
    remote: Line = ""
    username: Annotated[str, Field(max_length=200)] = ""


class ProjectPart(Part):
    slug: Annotated[str, Field(pattern=r"^[-\w]{1,80}$")]
    name: Name = ""
    branch: Annotated[str, Field(pattern=r"^[\w][\w./-]{0,119}$")] = "main"
    approval: Literal["auto", "ask"] = "auto"
    max_sessions: Annotated[int, Field(ge=1, le=1000)] = 4
    checks: Annotated[list[CheckPart], Field(max_length=50)] = []
    allow_network: bool = False
    allow_install: bool = False
    is_perpetual: bool = False
    is_sticky: bool = False
    workflow: Annotated[str, Field(max_length=60)] = ""
    git_repo: Annotated[str, Field(max_length=500)] = ""
    budget_usd: Usd = None
    merging: MergingPart | None = None
    command_rules: Annotated[list[RulePart], Field(max_length=500)] = []
    workflows: Annotated[list[dict[str, Json]], Field(max_length=MOST)] = []
    motivations: Annotated[list[MotivationPart], Field(max_length=MOST)] = []


class Document(Part):
    loom: Literal[1] = VERSION
    organization: Line = ""  # told for people; a document may go to another one
    budget_usd: Usd = None
    personas: Annotated[list[PersonaPart], Field(max_length=MOST)] = []
    workflows: Annotated[list[dict[str, Json]], Field(max_length=MOST)] = []
    providers: Annotated[list[ProviderPart], Field(max_length=MOST)] = []
    motivations: Annotated[list[MotivationPart], Field(max_length=MOST)] = []
    projects: Annotated[list[ProjectPart], Field(max_length=MOST)] = []


def permissions_needed(document: Document) -> list[str]:
    """What the routes ask for that change each of the parts by itself which the document names."""
    parts = [document, *document.projects]
    named = {name for part in parts for name, value in part.said.items() if value not in (None, [])}
    budgets = ["analytics:admin"] if any("budget_usd" in part.said for part in parts) else []
    return sorted({*(NEEDED[name] for name in named if name in NEEDED), *budgets})


def document_read(given: Any) -> Document:
    """The document, or BadInput with each thing that is wrong and where."""
    try:
        return Document.model_validate(given)
    except ValidationError as error:
        faults = [
            {"at": ".".join(str(step) for step in fault["loc"]), "problem": fault["msg"][:300]}
            for fault in error.errors(include_url=False, include_input=False, include_context=False)
        ]
    first = faults[0]
    raise BadInput(
        f"The configuration is not valid: {first['at'] or 'the document'}: {first['problem']}.",
        hint="Nothing was changed.",
        details={"faults": faults[:MOST_TOLD], "count": len(faults)},
    )
