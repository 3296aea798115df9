"""The schema of the API: tags, what every operation may answer, and the headers that all of them know."""

from __future__ import annotations

import re
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ResolvedComponent, build_object_type, is_list_serializer
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import PolymorphicProxySerializer
from rest_framework.permissions import AllowAny
from rest_framework.serializers import ModelSerializer

from apps.core.api_conditions import ConditionalMixin
from apps.core.api_lists import lists_of
from apps.core.api_once import HEADER, OnceMixin

ERROR = ResolvedComponent(  # type: ignore[no-untyped-call]
    name="Error",
    type=ResolvedComponent.SCHEMA,
    object="Error",
    schema=build_object_type(
        properties={
            "error": {"type": "string", "description": "One sentence."},
            "code": {"type": "string"},
            "details": {"type": "object", "additionalProperties": {}},
        },
        required=["error", "code", "details"],
    ),
)
NOTHING = object()
WORDS = {
    "400": "The request makes no sense as it stands.",
    "401": "Nobody is logged in.",
    "402": "A limit on money would be passed.",
    "403": "The permission is missing.",
    "404": "There is no such object, or it is another organization's.",
    "405": "Not with this method.",
    "409": "Not as things stand.",
    "412": "It was changed since it was read.",
    "413": "The body is too large.",
    "415": "The body is not JSON.",
    "422": "The Idempotency-Key was used for another request.",
    "429": "Too many requests; Retry-After says when to come back.",
    "501": "This is part of the contract and not built yet.",
    "502": "A model's server failed.",
    "503": "Something the installation needs is missing.",
}


def one_of(*bodies: Any, name: str) -> Any:
    """An answer that is one of these, which nothing but its shape tells apart."""
    return PolymorphicProxySerializer(name, list(bodies), resource_type_field_name=None, many=False)


class LoomSchema(AutoSchema):
    """For every view of the API. A view may say `schema_tag`, `schema_bodies` and `schema_answers` by action:
    serializers (`many=True` for a list), or None where there is no body. What is not said is any object."""

    def get_auth(self) -> list[dict[str, list[str]]]:
        if AllowAny in getattr(self.view, "permission_classes", ()):
            return []  # nothing to log in with: generated clients must not ask for it
        return [{"apiKey": []}, {"bearer": []}, {"session": []}]

    def map_parsers(self) -> list[str]:
        return ["application/json"]  # as clients should say it; whatever they say, it is read as this

    def get_tags(self) -> list[str]:
        said = getattr(self.view, "schema_tag", "") or getattr(self.view, "resource", "")
        return [said or super().get_tags()[0]]

    def get_operation_id(self) -> str:
        """Unique and steady: of the method and the whole path."""
        words = re.findall(r"\w+", self.path.removeprefix("/api/v1/"))
        return "_".join([(self.method or "").lower(), *words]).replace("__", "_")

    def _action(self) -> str:
        return getattr(self.view, "action", None) or (self.method or "").lower()

    def _said(self, kind: str, default: Any) -> Any:
        """What the view says of this action; of one with several methods also as "votes post"."""
        said, action = getattr(self.view, kind, {}), self._action()
        return said.get(f"{action} {(self.method or '').lower()}", said.get(action, default))

    def get_request_serializer(self) -> Any:
        if self.method in {"GET", "DELETE"}:
            return None
        return self._said("schema_bodies", OpenApiTypes.OBJECT)

    def get_response_serializers(self) -> Any:
        action = self._action()
        if (said := self._said("schema_answers", NOTHING)) is not NOTHING:
            return said
        bodies = getattr(self.view, "serializer_class", None)
        view: Any = self.view
        if bodies is None and "get_serializer_class" in vars(type(view)):
            bodies = view.get_serializer_class()
        is_whole = action in {"list", "retrieve", "create", "update", "partial_update"}
        if bodies is None or not is_whole or (action == "list" and self._wraps_lists()):
            return OpenApiTypes.ANY
        return bodies

    def _wraps_lists(self) -> bool:
        return bool(getattr(self.view, "list_is_object", False))

    def _is_list_view(self, serializer: Any = None) -> bool:
        if is_list_serializer(serializer):
            return True
        return self._lists() and not self._wraps_lists()

    def _lists(self) -> bool:
        return self.method == "GET" and self._action() in lists_of(self.view)

    def _map_basic_serializer(self, serializer: Any, direction: Any) -> Any:
        told = super()._map_basic_serializer(serializer, direction)  # type: ignore[no-untyped-call]
        if direction == "response" and isinstance(serializer, ModelSerializer):
            # Rows are told with all of their keys, but for those that a class itself declares as left out.
            missing = {name for name, one in serializer._declared_fields.items() if not one.required}
            read = {name for name, one in serializer._declared_fields.items() if one.read_only}
            told["required"] = sorted(set(told.get("properties", {})) - (missing - read))
        return told

    def get_filter_backends(self) -> list[Any]:
        return getattr(self.view, "filter_backends", []) if self._lists() else []

    def _get_pagination_parameters(self) -> list[dict[str, Any]]:
        """Also of lists that stand in an object."""
        paginator = self._get_paginator()
        told: list[dict[str, Any]] = paginator.get_schema_operation_parameters(self.view) if paginator else []
        return told

    def _get_paginator(self) -> Any:
        if not self._lists():
            return None
        return super()._get_paginator()  # type: ignore[no-untyped-call]

    def _get_parameters(self) -> list[dict[str, Any]]:
        return [*super()._get_parameters(), *(_header(name, text) for name, text in self._headers().items())]

    def _headers(self) -> dict[str, str]:
        if self.method == "POST" and isinstance(self.view, OnceMixin):
            return {HEADER: "Sent twice with the same key, this is done once."}
        if self.method in {"PUT", "PATCH", "DELETE"} and isinstance(self.view, ConditionalMixin):
            return {"If-Match": "The ETag that was read; 412 if the object is another by now."}
        return {}

    def _get_response_bodies(self, direction: Any = "response") -> dict[str, Any]:
        responses = super()._get_response_bodies(direction)
        first = next((answer for status, answer in responses.items() if status.startswith("2")), None)
        if first and self.method != "GET" and not any(status in responses for status in ("202", "204")):
            # What is created answers 201, what is only done 200, what waits for others 202.
            responses |= {"200": first, "201": first, "202": {**first, "description": "It waits for others."}}
        if self.method == "DELETE":
            responses.setdefault("200", {"description": "Done."})
            responses.setdefault("204", {"description": "Done."})
        self.registry.register_on_missing(ERROR)
        content = {"application/json": {"schema": ERROR.ref}}
        for status, words in WORDS.items():
            responses.setdefault(status, {"description": words, "content": content})
        return dict(sorted(responses.items()))


class KeptGenerator(SchemaGenerator):
    """Generates the whole schema once per process: it is the same for everybody, and takes seconds."""

    kept: dict[str, Any] | None = None

    def get_schema(self, request: Any = None, public: bool = False) -> Any:
        if not public or self.api_version:
            return super().get_schema(request, public)  # type: ignore[no-untyped-call]
        if KeptGenerator.kept is None:
            KeptGenerator.kept = super().get_schema(None, True)  # type: ignore[no-untyped-call]
        return KeptGenerator.kept


def _header(name: str, text: str) -> dict[str, Any]:
    schema = {"type": "string", "maxLength": 200, "pattern": "^[!-~]+$"}
    return {"name": name, "in": "header", "required": False, "schema": schema, "description": text}
