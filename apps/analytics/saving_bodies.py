"""Bodies of the API of savings, for the schema."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from apps.providers.preferences_api import PreferenceBody


class CacheStats(serializers.Serializer[Any]):
    hits = serializers.IntegerField()
    misses = serializers.IntegerField()
    evictions = serializers.IntegerField()
    total_entries = serializers.IntegerField()
    hit_rate = serializers.FloatField()
    tokens_saved = serializers.IntegerField()
    cost_saved_usd = serializers.FloatField()
    avg_latency_saved_ms = serializers.FloatField()


class CacheOpportunity(serializers.Serializer[Any]):
    id = serializers.CharField()
    pattern = serializers.CharField()
    description = serializers.CharField()
    request_count = serializers.IntegerField()
    potential_hits = serializers.IntegerField()
    hit_rate_percent = serializers.FloatField()
    tokens_savable = serializers.IntegerField()
    cost_savable_usd = serializers.FloatField()
    latency_savable_ms = serializers.IntegerField()
    recommendation = serializers.CharField()
    auto_enableable = serializers.BooleanField()
    suggested_ttl = serializers.CharField()
    priority = serializers.CharField()
    provider_id = serializers.CharField()
    model_name = serializers.CharField()


class CacheAnalysis(serializers.Serializer[Any]):
    analyzed_at = serializers.DateTimeField()
    time_window = serializers.IntegerField(help_text="Nanoseconds.")
    time_window_start = serializers.DateTimeField()
    time_window_end = serializers.DateTimeField()
    total_requests = serializers.IntegerField()
    unique_requests = serializers.IntegerField()
    duplicate_count = serializers.IntegerField(help_text="Calls that went on with a conversation.")
    duplicate_percent = serializers.FloatField()
    opportunities = CacheOpportunity(many=True)
    total_savings_usd = serializers.FloatField()
    total_tokens_saved = serializers.IntegerField()
    total_latency_saved_ms = serializers.IntegerField()
    monthly_projection_usd = serializers.FloatField()
    recommendations = serializers.ListField(child=serializers.CharField())


class CacheOpportunities(serializers.Serializer[Any]):
    opportunities = CacheOpportunity(many=True)
    count = serializers.IntegerField()
    total = serializers.IntegerField()
    limit = serializers.IntegerField()


class CacheRecommendations(serializers.Serializer[Any]):
    recommendations = serializers.ListField(child=serializers.CharField())
    total_savings_usd = serializers.FloatField()
    monthly_projection = serializers.FloatField()
    duplicate_percent = serializers.FloatField()
    opportunity_count = serializers.IntegerField()
    analyzed_at = serializers.DateTimeField()
    time_window = serializers.IntegerField()


class Pattern(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.CharField()
    group_key = serializers.CharField()
    request_count = serializers.IntegerField()
    total_cost = serializers.FloatField()
    avg_cost = serializers.FloatField()
    total_tokens = serializers.IntegerField()
    avg_tokens = serializers.FloatField()
    avg_latency = serializers.FloatField()
    error_rate = serializers.FloatField()
    first_seen = serializers.DateTimeField()
    last_seen = serializers.DateTimeField()
    request_frequency = serializers.FloatField(help_text="Calls an hour.")
    cost_trend = serializers.CharField()
    provider_id = serializers.CharField(required=False)
    model_name = serializers.CharField(required=False)
    user_id = serializers.CharField(required=False)


class Anomaly(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.CharField()
    description = serializers.CharField()
    severity = serializers.CharField()
    detected_at = serializers.DateTimeField()
    pattern = serializers.CharField()
    baseline = serializers.FloatField()
    actual = serializers.FloatField()
    deviation = serializers.FloatField()


class PatternCluster(serializers.Serializer[Any]):
    type = serializers.CharField()
    cluster_count = serializers.IntegerField()
    total_requests = serializers.IntegerField()
    total_cost = serializers.FloatField()
    avg_cluster_size = serializers.FloatField()


class PatternAnalysis(serializers.Serializer[Any]):
    analyzed_at = serializers.DateTimeField()
    time_window = serializers.IntegerField(help_text="Nanoseconds.")
    total_requests = serializers.IntegerField()
    total_cost = serializers.FloatField()
    patterns = Pattern(many=True)
    anomalies = Anomaly(many=True)
    cluster_summaries = serializers.DictField(child=PatternCluster(), help_text="By type.")
    recommendations = serializers.ListField(child=serializers.CharField())


class ExpensivePatterns(serializers.Serializer[Any]):
    patterns = Pattern(many=True)
    count = serializers.IntegerField()


class Anomalies(serializers.Serializer[Any]):
    anomalies = Anomaly(many=True)
    count = serializers.IntegerField()


class Alternative(serializers.Serializer[Any]):
    provider_id = serializers.CharField()
    model_name = serializers.CharField()
    cost_per_mtoken = serializers.FloatField()
    estimated_savings = serializers.FloatField()
    quality_score = serializers.FloatField()
    latency_delta = serializers.FloatField()
    capability_match = serializers.FloatField()


class Optimization(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.CharField()
    pattern = serializers.CharField()
    recommendation = serializers.CharField()
    current_cost = serializers.FloatField()
    projected_cost = serializers.FloatField()
    projected_savings_usd = serializers.FloatField()
    monthly_savings_usd = serializers.FloatField()
    impact_rating = serializers.CharField()
    quality_impact = serializers.CharField()
    alternative_providers = Alternative(many=True, required=False)
    alternative_models = serializers.ListField(child=serializers.CharField(), required=False)
    auto_applicable = serializers.BooleanField(help_text="POST to `/apply` chooses the first of them.")
    applied_to = serializers.IntegerField(required=False, help_text="Roles of projects that do so by now.")
    confidence = serializers.FloatField()


class Applied(serializers.Serializer[Any]):
    status = serializers.CharField(help_text="applied")
    message = serializers.CharField()
    preferences = PreferenceBody(many=True)


class Optimizations(serializers.Serializer[Any]):
    optimizations = Optimization(many=True)
    count = serializers.IntegerField()
    total_savings_usd = serializers.FloatField()
    monthly_savings_usd = serializers.FloatField()
    cache_opportunities = serializers.IntegerField()
    batching_opportunities = serializers.IntegerField()


class Substitutions(serializers.Serializer[Any]):
    substitutions = Optimization(many=True)
    count = serializers.IntegerField()


class PromptOptimization(serializers.Serializer[Any]):
    id = serializers.CharField()
    type = serializers.ChoiceField(["repetition", "verbosity", "instruction-clarity"])
    persona = serializers.CharField()
    original_prompt = serializers.CharField()
    optimized_prompt = serializers.CharField(help_text="PUT to `/personas/{group}/{name}` takes it.")
    original_tokens = serializers.IntegerField(help_text="About four bytes each.")
    estimated_tokens = serializers.IntegerField()
    token_savings = serializers.IntegerField(help_text="Of each call.")
    token_savings_percent = serializers.FloatField()
    cost_savings_usd = serializers.FloatField(help_text="Of the calls in that time.")
    monthly_cost_savings_usd = serializers.FloatField()
    recommendation = serializers.CharField()
    quality_impact = serializers.CharField()
    confidence = serializers.FloatField()
    request_count = serializers.IntegerField()
    detected_at = serializers.DateTimeField()


class PromptAnalysis(serializers.Serializer[Any]):
    analyzed_at = serializers.DateTimeField()
    time_window = serializers.IntegerField(help_text="Nanoseconds.")
    total_prompts = serializers.IntegerField(help_text="Personas whose agents were at work.")
    optimizable_prompts = serializers.IntegerField()
    optimizations = PromptOptimization(many=True)
    total_token_savings = serializers.IntegerField(help_text="Of all calls in that time.")
    total_cost_savings_usd = serializers.FloatField()
    monthly_projection_usd = serializers.FloatField()


class PromptOptimizations(serializers.Serializer[Any]):
    optimizations = PromptOptimization(many=True)
    count = serializers.IntegerField()
