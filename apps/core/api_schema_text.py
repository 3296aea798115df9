"""The schema of the API as it is sent: written once per process, since YAML of its size takes a second."""

from __future__ import annotations

from typing import Any

from drf_spectacular.renderers import (
    OpenApiJsonRenderer,
    OpenApiJsonRenderer2,
    OpenApiYamlRenderer,
    OpenApiYamlRenderer2,
)

from apps.core.api_schema import KeptGenerator


class _Kept:
    written: bytes | None = None

    def render(self, data: Any, accepted_media_type: str | None = None, renderer_context: Any = None) -> Any:
        kind: Any = type(self)
        if data is not KeptGenerator.kept:  # an error
            return super().render(data, accepted_media_type, renderer_context)  # type: ignore[misc]
        if kind.written is None:
            kind.written = super().render(data, accepted_media_type, renderer_context)  # type: ignore[misc]
        return kind.written


class KeptYaml(_Kept, OpenApiYamlRenderer):
    pass


class KeptYaml2(_Kept, OpenApiYamlRenderer2):
    pass


class KeptJson(_Kept, OpenApiJsonRenderer):
    pass


class KeptJson2(_Kept, OpenApiJsonRenderer2):
    pass


YAML = [KeptYaml, KeptYaml2]
ALL = [*YAML, KeptJson, KeptJson2]
