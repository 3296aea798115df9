"""Bodies of the analytics API, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers


def counts() -> serializers.DictField:
    return serializers.DictField(child=serializers.IntegerField())


def amounts() -> serializers.DictField:
    return serializers.DictField(child=serializers.FloatField())


class RequestLog(serializers.Serializer[Any]):
    id = serializers.CharField()
    timestamp = serializers.DateTimeField()
    user_id = serializers.CharField(
        help_text="A person's id, `agent-<id>` for an agent at work, else what the call was for."
    )
    method = serializers.CharField()
    path = serializers.CharField()
    provider_id = serializers.CharField()
    model_name = serializers.CharField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    latency_ms = serializers.IntegerField()
    status_code = serializers.IntegerField(help_text="202: under way; 504: lost with its process.")
    cost_usd = serializers.FloatField()
    error_message = serializers.CharField(required=False)
    metadata = serializers.DictField()


class Group(serializers.Serializer[Any]):
    key = serializers.CharField(allow_blank=True)
    name = serializers.CharField()
    requests = serializers.IntegerField()
    failed = serializers.IntegerField()
    prompt_tokens = serializers.IntegerField()
    completion_tokens = serializers.IntegerField()
    cached_tokens = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost_usd = serializers.FloatField()
    avg_latency_ms = serializers.FloatField()
    error_rate = serializers.FloatField()


class TimeRange(serializers.Serializer[Any]):
    start = serializers.DateTimeField(allow_null=True)
    end = serializers.DateTimeField(allow_null=True)


class LogStats(serializers.Serializer[Any]):
    total_requests = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    total_cost_usd = serializers.FloatField()
    avg_latency_ms = serializers.FloatField()
    error_rate = serializers.FloatField(help_text="0 to 1.")
    requests_by_user = counts()
    requests_by_provider = counts()
    cost_by_provider = amounts()
    cost_by_user = amounts()
    tokens_by_provider = counts()
    tokens_by_user = counts()
    latency_by_provider = amounts()
    groups = Group(many=True, required=False, help_text="Where `group_by` asks for them.")


class Costs(serializers.Serializer[Any]):
    total_cost_usd = serializers.FloatField()
    total_requests = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    cost_per_request = serializers.FloatField()
    cost_per_1k_tokens = serializers.FloatField()
    cost_by_provider = amounts()
    cost_by_user = amounts()
    time_range = TimeRange()
    groups = Group(many=True, required=False, help_text="Where `group_by` asks for them.")


class BudgetBody(serializers.Serializer[Any]):
    id = serializers.CharField()
    scope = serializers.ChoiceField(["organization", "project", "bead", "run"])
    scope_id = serializers.CharField()
    name = serializers.CharField(allow_blank=True)
    organization_id = serializers.CharField()
    limit_usd = serializers.FloatField(allow_null=True, help_text="Null: no limit.")
    spent_usd = serializers.FloatField()
    reserved_usd = serializers.FloatField(help_text="Set aside for calls under way.")
    left_usd = serializers.FloatField(allow_null=True)
    used_percent = serializers.FloatField(allow_null=True)
    burn_per_day_usd = serializers.FloatField(help_text="The mean of the last seven days.")
    runs_out_at = serializers.DateTimeField(allow_null=True, help_text="If it goes on like that.")


class BudgetInput(serializers.Serializer[Any]):
    limit_usd = serializers.DecimalField(
        max_digits=16, decimal_places=6, min_value=0, allow_null=True, help_text="Null: no limit."
    )


class BatchSummary(serializers.Serializer[Any]):
    batchable_requests = serializers.IntegerField()
    recommended_batches = serializers.IntegerField()
    average_batch_size = serializers.FloatField()
    estimated_tokens_saved = serializers.IntegerField()
    estimated_cost_savings_usd = serializers.FloatField()
    estimated_latency_savings_ms = serializers.IntegerField()
    estimated_efficiency_gain_pct = serializers.FloatField()
    auto_batch_groups = serializers.IntegerField()
    total_recommendations = serializers.IntegerField()
    total_cost_usd = serializers.FloatField()
    total_tokens = serializers.IntegerField()


class BatchRecommendation(serializers.Serializer[Any]):
    id = serializers.CharField()
    user_id = serializers.CharField()
    provider_id = serializers.CharField()
    model_name = serializers.CharField()
    method = serializers.CharField()
    path = serializers.CharField()
    request_count = serializers.IntegerField()
    batch_size = serializers.IntegerField()
    recommended_batches = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    total_cost_usd = serializers.FloatField()
    avg_latency_ms = serializers.FloatField()
    time_window_start = serializers.DateTimeField()
    time_window_end = serializers.DateTimeField()
    estimated_tokens_saved = serializers.IntegerField()
    estimated_cost_savings_usd = serializers.FloatField()
    estimated_latency_savings_ms = serializers.IntegerField()
    efficiency_gain_percent = serializers.FloatField()
    sample_request_ids = serializers.ListField(child=serializers.CharField())


class BatchPlan(serializers.Serializer[Any]):
    id = serializers.CharField()
    recommendation_id = serializers.CharField()
    batch_size = serializers.IntegerField()
    request_ids = serializers.ListField(child=serializers.CharField())


class Batching(serializers.Serializer[Any]):
    generated_at = serializers.DateTimeField()
    summary = BatchSummary()
    recommendations = BatchRecommendation(many=True)
    auto_batch_plan = BatchPlan(many=True)


class ExportedSummary(serializers.Serializer[Any]):
    total_requests = serializers.IntegerField()
    total_tokens = serializers.IntegerField()
    total_cost_usd = serializers.FloatField()
    avg_latency_ms = serializers.FloatField()
    error_rate = serializers.FloatField()


class ExportedStats(serializers.Serializer[Any]):
    exported_at = serializers.DateTimeField()
    time_range = TimeRange()
    summary = ExportedSummary()
    cost_by_provider = amounts()
    cost_by_user = amounts()
    requests_by_provider = counts()
    requests_by_user = counts()
