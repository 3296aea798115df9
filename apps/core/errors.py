"""Errors that people and programs see: one sentence, a hint what to do, a code and an HTTP status.

LoomError
├── BadInput            400  the request makes no sense as it stands
├── Unauthenticated     401  the password or token that was shown is not good
├── BudgetExceeded      402  a limit on money would be passed
├── Forbidden           403
├── NotFound            404  also for objects of another tenant
├── Conflict            409  stale version, duplicate, illegal move
├── Stale               412  If-Match named another version than the one there is
├── TooLarge            413
├── Unprocessable       422  an Idempotency-Key was used for another request
├── NotBuilt            501  a route of the contract whose subject is not there yet
├── RateLimited         429  too often; `seconds` until it makes sense again
├── ProviderError       502  a model endpoint failed (subclasses in apps.providers.errors)
└── Unavailable         503  something the installation needs is missing
"""

from __future__ import annotations

from typing import Any


class LoomError(Exception):
    """Something went wrong that a person can understand and act on."""

    code = "error"
    status = 500

    def __init__(self, message: str, *, hint: str = "", details: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = details or {}

    def __reduce__(self) -> Any:
        return _rebuild, (type(self), self.message, self.hint, self.details)

    @property
    def told(self) -> str:
        """What is said to people: what is wrong, and what to do."""
        return f"{self} {self.hint}".strip()

    def body(self) -> dict[str, Any]:
        """The error body of the API."""
        details = {**self.details, **({"hint": self.hint} if self.hint else {})}
        return {"error": self.message, "code": self.code, "details": details}


def _rebuild(kind: type[LoomError], message: str, hint: str, details: dict[str, Any]) -> LoomError:
    return kind(message, hint=hint, details=details)


class BadInput(LoomError):
    code, status = "bad_input", 400


class Unauthenticated(LoomError):
    code, status = "authentication_failed", 401


class BudgetExceeded(LoomError):
    code, status = "budget_exceeded", 402


class Forbidden(LoomError):
    code, status = "forbidden", 403


class NotFound(LoomError):
    code, status = "not_found", 404


class Conflict(LoomError):
    code, status = "conflict", 409


class Stale(LoomError):
    code, status = "stale", 412


class TooLarge(LoomError):
    code, status = "too_large", 413


class Unprocessable(LoomError):
    code, status = "unprocessable", 422


class NotBuilt(LoomError):
    code, status = "not_implemented", 501


class RateLimited(LoomError):
    code, status = "rate_limited", 429

    @property
    def seconds(self) -> int:
        """Whole seconds until another try; the answer's Retry-After."""
        return int(self.details["retry_after"])


class ProviderError(LoomError):
    code, status = "provider_error", 502


class Unavailable(LoomError):
    code, status = "unavailable", 503
