"""Admin pages of what people and agents said to each other."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from apps.core.admin import HistoryAdmin, linked, shown_json, shown_money, shown_text
from apps.pairing.models import Exchange, Piece
from apps.pairing.services import spent_on


@admin.register(Exchange)
class ExchangeAdmin(HistoryAdmin):
    list_display = [
        "id",
        "person",
        "project_link",
        "session_link",
        "status",
        "text",
        "created_at",
        "ended_at",
    ]
    list_filter = ["status", ("project", admin.RelatedOnlyFieldListFilter)]
    search_fields = ["text", "person__username"]
    date_hierarchy = "created_at"
    list_select_related = ["person", "project", "session"]
    ordering = ["-id"]
    fields = [
        "person", "organization", "project", "session", "status", "error", "text_shown", "answer_shown",
        "model", "cost", "run_link", "created_at", "ended_at",
    ]  # fmt: skip

    @admin.display(description="message")
    def text_shown(self, exchange: Any) -> str:
        return shown_text(exchange.text)

    @admin.display(description="answer")
    def answer_shown(self, exchange: Any) -> str:
        return shown_text(exchange.answer)

    @admin.display(description="cost")
    def cost(self, exchange: Any) -> str:
        return shown_money(spent_on(exchange)["cost_microusd"])


@admin.register(Piece)
class PieceAdmin(HistoryAdmin):
    organization_path = "exchange__organization_id"
    list_display = ["id", "exchange_link", "seq", "kind"]
    list_filter = ["kind"]
    search_fields = ["exchange__text", "=exchange__id"]
    list_select_related = ["exchange"]
    ordering = ["-id"]
    fields = ["exchange", "seq", "kind", "data_shown"]
    exchange_link = linked("exchange_id", "pairing_exchange")

    @admin.display(description="data")
    def data_shown(self, piece: Any) -> str:
        return shown_json(piece.data)
