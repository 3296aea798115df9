"""A program's way to the API of a Loom: requests by urllib, and the login it keeps for itself alone."""

from __future__ import annotations

import fcntl
import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from apps.core.errors import BadInput, LoomError, Unavailable

SECONDS = 30.0
STREAM_SECONDS = 60.0  # a stream says something every 15 seconds
DEFAULT_URL = "http://localhost:8080"
LOG_IN = "Log in with `python manage.py loom login`, or set LOOM_CLIENT_KEY."


class Refused(LoomError):
    """The server answered with an error; the text is its own."""

    code, status = "refused", 502


class NotLetIn(Refused):
    """Nobody is logged in, or not any more."""

    status = 401


def login_file() -> Path:
    base = os.environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "loom" / "login.json"


class Straight(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else: what is sent holds a credential."""

    def redirect_request(self, *_: Any) -> None:
        return None


class Api:
    """Requests to one server, with an API key or the tokens of a login."""

    def __init__(self, url: str = "", key: str = "") -> None:
        kept = _kept()
        self.url = (url or os.environ.get("LOOM_URL") or kept.get("url") or DEFAULT_URL).rstrip("/")
        if not self.url.startswith(("http://", "https://")):
            raise BadInput(
                f"{self.url!r} is no address of a Loom.", hint="It begins with http:// or https://."
            )
        self._key = key or os.environ.get("LOOM_CLIENT_KEY", "")
        self._tokens = kept if kept.get("url") == self.url else {}
        self._opener = urllib.request.build_opener(Straight)

    def login(self, username: str, password: str) -> None:
        """Log in, and keep the tokens in a file that only its owner reads."""
        given = {"username": username, "password": password}
        with self._ask("POST", "auth/login", json.dumps(given).encode(), SECONDS, known=False) as answer:
            told = self._read(answer)
        with _alone():
            self._keep(told)

    def logout(self) -> None:
        """End the login, and forget it in any case."""
        try:
            if self._tokens:
                self.send("POST", "auth/logout")
        finally:
            login_file().unlink(missing_ok=True)

    def get(self, path: str, **query: Any) -> Any:
        return self.page(path, **query)[0]

    def page(self, path: str, **query: Any) -> tuple[Any, int]:
        """What is there, and how many rows the whole list has."""
        asked = {name: value for name, value in query.items() if value not in (None, "")}
        with self.open("GET", f"{path}?{urllib.parse.urlencode(asked)}" if asked else path) as answer:
            body, total = self._read(answer), answer.headers.get("X-Total-Count", "")
        return body, int(total) if total.isdigit() else 0

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """What the server answers; Refused with its own sentence, Unavailable where there is none."""
        with self.open(method, path, None if body is None else json.dumps(body).encode()) as answer:
            return self._read(answer)

    def open(self, method: str, path: str, data: bytes | None = None, seconds: float = SECONDS) -> Any:
        """The open answer, to be read as it comes. A token that has run out is renewed once."""
        try:
            return self._ask(method, path, data, seconds)
        except NotLetIn:
            if self._key or not self._renew():
                raise
            return self._ask(method, path, data, seconds)

    def stream(self, path: str, last: str) -> Any:
        """The open stream of events, from the one after `last` on."""
        joint = "&" if "?" in path else "?"
        since = f"{joint}last_event_id={urllib.parse.quote(last, safe='')}" if last else ""
        return self.open("GET", path + since, seconds=STREAM_SECONDS)

    def _ask(self, method: str, path: str, data: bytes | None, seconds: float, *, known: bool = True) -> Any:
        headers = {"Accept": "application/json", "Content-Type": "application/json"}
        if known and self._key:
            headers["X-API-Key"] = self._key
        elif known and self._tokens.get("token"):
            headers["Authorization"] = f"Bearer {self._tokens['token']}"
        try:
            address = f"{self.url}/api/v1/{path}"
            request = urllib.request.Request(address, data, headers, method=method)  # noqa: S310 - see __init__
            return self._opener.open(request, timeout=seconds)
        except urllib.error.HTTPError as error:
            raise self._refused(error) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise Unavailable(
                f"{self.url} does not answer: {reason}.",
                hint="Start it (python manage.py up), or set LOOM_URL.",
            ) from None

    def _read(self, answer: Any) -> Any:
        try:
            return json.loads(answer.read() or b"null")
        except ValueError:
            raise Unavailable(f"{self.url} answers, but it is no Loom.", hint="Look at LOOM_URL.") from None
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{self.url} broke off: {error}.") from None

    def _refused(self, error: urllib.error.HTTPError) -> Refused | Unavailable:
        try:
            told = json.loads(error.read())
            message, details = str(told["error"]), dict(told.get("details") or {})
        except (ValueError, KeyError, TypeError, OSError, http.client.HTTPException):
            if error.code in {502, 503, 504}:  # a proxy whose Loom is away
                return Unavailable(
                    f"{self.url} does not answer: {error.code}.", hint="Try again in a moment."
                )
            message = f"{self.url} answers {error.code}, and not as a Loom does."
            return Refused(message, hint="Look at LOOM_URL.")
        hint = str(details.pop("hint", ""))
        fields = details.get("fields")
        for name, wrong in fields.items() if isinstance(fields, dict) else ():
            message += f" {name}: {' '.join(map(str, wrong)) if isinstance(wrong, list) else wrong}"
        if error.code == 401:
            return NotLetIn(message, hint=LOG_IN, details=details)
        kind = Unavailable if error.code == 503 else Refused
        return kind(message, hint=hint, details=details)

    # -- the login that is kept ---------------------------------------------------------------------

    def _renew(self) -> bool:
        """New tokens for the refresh token, which is good once: another command may have used it just now."""
        with _alone():
            kept = _kept()
            if kept.get("url") != self.url or not kept.get("refresh_token"):
                return False
            if kept.get("token") != self._tokens.get("token"):
                self._tokens = kept
                return True
            given = json.dumps({"refresh_token": kept["refresh_token"]}).encode()
            try:
                with self._ask("POST", "auth/refresh", given, SECONDS, known=False) as answer:
                    self._keep(self._read(answer))
            except Refused:
                return False
            return True

    def _keep(self, told: dict[str, Any]) -> None:
        self._tokens = {"url": self.url, "token": told["token"], "refresh_token": told["refresh_token"]}
        place = login_file()
        fresh = place.with_suffix(".new")
        fresh.unlink(missing_ok=True)
        fresh.touch(mode=0o600, exist_ok=False)
        fresh.write_text(json.dumps(self._tokens), encoding="utf-8")
        fresh.replace(place)


@contextmanager
def _alone() -> Iterator[None]:
    """No other command of this person changes the login meanwhile."""
    try:
        place = login_file()
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with place.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as error:
        raise Unavailable(f"The login cannot be kept: {error}.") from None


def _kept() -> dict[str, str]:
    try:
        kept = json.loads(login_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return kept if isinstance(kept, dict) else {}
