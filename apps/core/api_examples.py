"""What the schema of the API says for people: its tags, and an example of every body whose keys it knows."""

from __future__ import annotations

from typing import Any

TAGS = {
    "beads": "Units of work: what is to be done, what it waits for, how far it is.",
    "projects": "Repositories with their PRD, requirements, checks, members and budget.",
    "agents": "Personas at work in a project, and how they are paused and resumed.",
    "decisions": "Questions with options that a person or an agent must answer.",
    "conversations": "People and agents at work together.",
    "repl": "A question or an order to the whole team.",
    "workflows": "The graphs that beads walk through.",
    "runs": "Durable executions: steps, waits, signals, history.",
    "motivations": "Why agents get to work of their own accord.",
    "personas": "Roles, as agents play them.",
    "providers": "Endpoints of models, their health, prices and routing.",
    "analytics": "Usage and cost.",
    "activity": "What happened, told for people.",
    "events": "Facts as they happen: history and live streams.",
    "notifications": "What concerns oneself, and how one wants to be told.",
    "logs": "What the processes say.",
    "auth": "Logging in, tokens, API keys, invitations and users.",
    "account": "Oneself.",
    "organizations": "Tenants, their members and groups.",
    "audit": "Who did what from where.",
    "webhooks": "What GitHub tells of a project, answers from a chat, and the secrets that sign them.",
    "system": "The installation itself.",
    "not built": "Known to clients of the original and not built yet: these answer 501.",
}
ERRORS = {
    "400": ("priority must be a whole number from 0 to 4.", "bad_input", {"field": "priority"}),
    "401": ("Authentication credentials were not provided.", "not_authenticated", {}),
    "402": ("The limit of this project is reached.", "over_budget", {}),
    "403": ("You lack the permission beads:write.", "forbidden", {"permission": "beads:write"}),
    "404": ("There is no such object.", "not_found", {}),
    "405": ('Method "DELETE" not allowed.', "method_not_allowed", {}),
    "409": ("al-7 is closed already.", "conflict", {}),
    "412": ("It was changed since you read it.", "stale", {}),
    "413": ("The body of the request is too large.", "too_large", {}),
    "415": ("The body must be JSON.", "unsupported_media_type", {}),
    "422": ("This Idempotency-Key was used for another request.", "key_reused", {}),
    "429": ("Too many requests. Try again in 30 seconds.", "rate_limited", {"retry_after": 30}),
    "501": ("This is not built yet.", "not_built", {}),
    "502": ("The model's server failed.", "provider_error", {}),
    "503": ("There is no broker.", "unavailable", {}),
}
MOMENT = "2026-01-31T12:00:00Z"
WORDS = {
    "id": "7", "title": "Import links", "name": "Links", "username": "ann", "email": "ann@example.com",
    "description": "Read links from a CSV file.", "project_id": "1", "organization": "acme", "slug": "links",
    "role": "engineering-manager", "reason": "It is safer.", "content": "I look into it.", "parent": None,
    "message": "What is left to do?", "question": "Which database?", "git_repo": "https://example.com/links.git",
}  # fmt: skip
FORMATS = {
    "date-time": MOMENT,
    "date": "2026-01-31",
    "email": "ann@example.com",
    "decimal": "2.50",
    "uri": "https://example.com/",
    "uuid": "0b5c8f1e-3a1d-4c59-9a3e-7d1f5d2c6b10",
}
DEPTH = 6


def examples_add(result: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A hook of drf-spectacular, after the schema was made."""
    schemas = result["components"]["schemas"]
    for methods in result["paths"].values():
        for operation in methods.values():
            for content in operation.get("requestBody", {}).get("content", {}).values():
                _example(content, schemas)
            for status, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json")
                if content and status in ERRORS:
                    sentence, code, details = ERRORS[status]
                    content["example"] = {"error": sentence, "code": code, "details": details}
                elif content:
                    _example(content, schemas)
    return result


def _example(content: dict[str, Any], schemas: dict[str, Any]) -> None:
    schema = content.get("schema") or {}
    if "example" not in content and "examples" not in content and schema:
        content["example"] = _made("", schema, schemas, DEPTH)


def _made(name: str, schema: dict[str, Any], schemas: dict[str, Any], depth: int) -> Any:
    schema = _meant(schema, schemas)
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            members = schema.get("properties", {}) if depth else {}
            return {key: _made(key, of, schemas, depth - 1) for key, of in members.items()}
        case "array":
            return [_made(name, schema["items"], schemas, depth - 1)] if depth > 1 else []
        case "integer" | "number":
            return max(1, schema.get("minimum", 1)) if schema.get("maximum", 1) >= 1 else schema["maximum"]
        case "boolean":
            return True
        case "string":
            return _word(name, schema)
    return None


def _meant(schema: dict[str, Any], schemas: dict[str, Any]) -> dict[str, Any]:
    """What a reference, or the first of several possibilities, comes to."""
    if "$ref" in schema:
        return _meant(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    several = next((schema[key] for key in ("allOf", "oneOf", "anyOf") if key in schema), None)
    return _meant(several[0], schemas) if several else schema


def _word(name: str, schema: dict[str, Any]) -> Any:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    word = WORDS.get(name, name.replace("_", " ") or "text")
    if word is None:
        return None if schema.get("nullable") else ""
    return word[: schema.get("maxLength", len(word))].ljust(schema.get("minLength", 0), ".")
