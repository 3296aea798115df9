"""Which models can be reached, as told by the environment and by servers that run on this machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from ipaddress import ip_address
from urllib.parse import urlsplit, urlunsplit

from apps.core.errors import BadInput
from apps.providers import wire
from apps.providers.errors import CallFailed, Garbage, ModelMissing
from apps.providers.link import Patience, Server
from apps.providers.pricing import ASSUMED, FREE, ModelFacts, Price, knows_vendor, microusd, model_facts

PROBE_PATIENCE = Patience(connect=0.15, total=1.0, idle=1.0)
ASK_PATIENCE = Patience(connect=3.0, total=5.0, idle=5.0)

URL_HINT = "It looks like http://host:port/v1."
MOST_TOKENS = 2**31 - 1  # of a context window, as many as the column holds

ListModels = Callable[[Server, Patience], list[dict[str, object]]]


@dataclass(frozen=True)
class Vendor:
    """A well-known service: the variables that hold its key, and how it is called."""

    name: str
    variables: tuple[str, ...]
    model: str
    endpoint: str = ""  # empty: through LiteLLM
    prefix: str = ""  # in the price map; the name if empty

    @property
    def price_prefix(self) -> str:
        return self.prefix or self.name


VENDORS = (
    Vendor("anthropic", ("ANTHROPIC_API_KEY",), "claude-sonnet-5"),
    Vendor("openai", ("OPENAI_API_KEY",), "gpt-5.4", "https://api.openai.com/v1"),
    Vendor("gemini", ("GEMINI_API_KEY", "GOOGLE_API_KEY"), "gemini-3.7-flash"),
    Vendor(
        "openrouter", ("OPENROUTER_API_KEY",), "anthropic/claude-sonnet-4.6", "https://openrouter.ai/api/v1"
    ),
    Vendor("mistral", ("MISTRAL_API_KEY",), "devstral-latest", "https://api.mistral.ai/v1"),
    Vendor("groq", ("GROQ_API_KEY",), "openai/gpt-oss-120b", "https://api.groq.com/openai/v1"),
    Vendor("deepseek", ("DEEPSEEK_API_KEY",), "deepseek-chat", "https://api.deepseek.com/v1"),
    Vendor("xai", ("XAI_API_KEY",), "grok-4.6", "https://api.x.ai/v1"),
    Vendor(
        "together",
        ("TOGETHER_API_KEY", "TOGETHERAI_API_KEY"),
        "zai-org/GLM-4.7",
        "https://api.together.xyz/v1",
        "together_ai",
    ),
)

LOCAL_SERVERS = (
    ("ollama", "http://127.0.0.1:11434/v1"),
    ("vllm", "http://127.0.0.1:8000/v1"),
    ("llamacpp", "http://127.0.0.1:8080/v1"),  # our own pages are there too; they list no models
    ("lmstudio", "http://127.0.0.1:1234/v1"),
)


@dataclass(frozen=True)
class Found:
    """A provider as the environment describes it; the fields of the row it becomes."""

    name: str
    source: str  # environment | local
    kind: str  # openai | litellm
    endpoint: str
    model: str
    key: str = field(default="", repr=False)
    price: Price = ASSUMED
    context_window: int = 0
    max_output: int = 0
    supports_tools: bool | None = None
    supports_streaming: bool = True
    supports_vision: bool = False
    tags: tuple[str, ...] = ()


def providers_detect(env: Mapping[str, str], *, list_models: ListModels | None = None) -> list[Found]:
    """What can be called. LOOM_PROVIDER_URL, when set, is the whole answer: it was said on purpose.

    Raises BadInput for a variable that makes no sense. A server that does not answer is no error here.
    """
    listing = list_models or _list_models
    if _value(env, "LOOM_PROVIDER_URL"):
        return [_explicit(env, listing)]
    found = [_vendor(vendor, key, env) for vendor in VENDORS if (key := _first(env, vendor.variables))]
    found = _with_chosen_model(found, env) if found else _through_litellm(env)
    if _switch(env, "LOOM_DETECT_LOCAL") is not False:
        found += _local(listing, skip={urlsplit(item.endpoint).netloc for item in found})
    return found


def normal_url(url: str) -> str:
    """The base of an OpenAI-compatible API as people mean it: `host:8000` becomes `http://host:8000/v1`."""
    url = url.strip()
    try:
        parts = urlsplit(url if "://" in url else f"http://{url}")
        is_whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets or letters that no host has, a port that there is not
        raise BadInput(f"{url!r} is no URL of a model server.", hint=URL_HINT) from None
    path = parts.path.rstrip("/").removesuffix("/chat/completions").removesuffix("/models")
    if "@" in parts.netloc:
        raise BadInput("The URL of a provider must hold no password.", hint="Give the API key by itself.")
    if not is_whole:
        raise BadInput(f"{url!r} is no URL of a model server.", hint=URL_HINT)
    return urlunsplit((parts.scheme, parts.netloc, path or "/v1", parts.query, ""))


def is_local(endpoint: str) -> bool:
    """Whether the server runs on this machine, so that calling it costs nothing."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def facts_of(model: str, endpoint: str, vendor: str = "") -> ModelFacts:
    """What is known or assumed of a model; one on this machine is free unless the price map has it."""
    known = model_facts(model, vendor)
    if known is not None:
        return known
    return ModelFacts(FREE if endpoint and is_local(endpoint) else ASSUMED)


def _explicit(env: Mapping[str, str], listing: ListModels) -> Found:
    endpoint = normal_url(env["LOOM_PROVIDER_URL"])
    key, model = _value(env, "LOOM_API_KEY"), _value(env, "LOOM_MODEL")
    window = 0
    if not model:
        listed = _listed(listing, Server(endpoint, key))
        model, window = str(listed[0]["id"]), _window(listed[0])
    facts = facts_of(model, endpoint)
    return Found(
        name="default",
        source="environment",
        kind="openai",
        endpoint=endpoint,
        model=model,
        key=key,
        price=_price(env, facts.price),
        context_window=_number(env, "LOOM_CONTEXT_WINDOW", facts.context_window or window),
        max_output=facts.max_output,
        supports_tools=_switch(env, "LOOM_TOOLS"),
        supports_streaming=_switch(env, "LOOM_STREAM") is not False,
        supports_vision=facts.vision,
    )


def _vendor(vendor: Vendor, key: str, env: Mapping[str, str], model: str = "") -> Found:
    model = model or vendor.model
    endpoint = vendor.endpoint
    if vendor.name == "openai" and (base := _first(env, ("OPENAI_BASE_URL", "OPENAI_API_BASE"))):
        endpoint = normal_url(base)
    facts = facts_of(model, endpoint, vendor.price_prefix)
    tools = _switch(env, "LOOM_TOOLS")
    return Found(
        name=vendor.name,
        source="environment",
        kind="openai" if endpoint else "litellm",
        endpoint=endpoint,
        model=model if endpoint else f"{vendor.name}/{model}",
        key=key,
        price=_price(env, facts.price),
        context_window=_number(env, "LOOM_CONTEXT_WINDOW", facts.context_window),
        max_output=facts.max_output,
        supports_tools=facts.tools if tools is None else tools,
        supports_streaming=_switch(env, "LOOM_STREAM") is not False,
        supports_vision=facts.vision,
    )


def _with_chosen_model(found: list[Found], env: Mapping[str, str]) -> list[Found]:
    """LOOM_MODEL as `vendor/model` is for that vendor; a bare name for the one whose price list has it."""
    wanted = _value(env, "LOOM_MODEL")
    if not wanted:
        return found
    vendors = [vendor for vendor in VENDORS if any(item.name == vendor.name for item in found)]
    head, _, rest = wanted.partition("/")
    named = [vendor for vendor in vendors if rest and vendor.name == head]
    listed = [vendor for vendor in vendors if model_facts(wanted, vendor.price_prefix)]
    chosen = (named or listed or vendors)[0]
    model = rest if named else wanted
    return [_vendor(chosen, item.key, env, model) if item.name == chosen.name else item for item in found]


def _through_litellm(env: Mapping[str, str]) -> list[Found]:
    """LOOM_MODEL alone, for vendors with a way of their own to log in: `bedrock/...`, `vertex_ai/...`."""
    model = _value(env, "LOOM_MODEL")
    vendor = model.partition("/")[0]
    if vendor == model or not knows_vendor(vendor):
        return []
    facts, tools = facts_of(model, ""), _switch(env, "LOOM_TOOLS")
    return [
        Found(
            name=vendor,
            source="environment",
            kind="litellm",
            endpoint="",
            model=model,
            key=_value(env, "LOOM_API_KEY"),
            price=_price(env, facts.price),
            context_window=_number(env, "LOOM_CONTEXT_WINDOW", facts.context_window),
            max_output=facts.max_output,
            supports_tools=facts.tools if tools is None else tools,
            supports_streaming=_switch(env, "LOOM_STREAM") is not False,
            supports_vision=facts.vision,
        )
    ]


def _local(listing: ListModels, skip: set[str]) -> list[Found]:
    """Model servers on this machine, probed all at once."""
    servers = [(name, url) for name, url in LOCAL_SERVERS if urlsplit(url).netloc not in skip]
    with ThreadPoolExecutor(len(servers) or 1) as threads:
        answers = list(threads.map(lambda at: _ask(listing, Server(at[1], name=at[0])), servers))
    found = []
    for (name, url), listed in zip(servers, answers, strict=True):
        chats = [model for model in listed if "embed" not in str(model["id"]).lower()]
        if chats:
            model, window = str(chats[0]["id"]), _window(chats[0])
            window = window or facts_of(model, url).context_window
            found.append(Found(name, "local", "openai", url, model, price=FREE, context_window=window))
    return found


def _list_models(server: Server, limits: Patience) -> list[dict[str, object]]:
    return wire.models(server, limits=limits)


def _listed(listing: ListModels, server: Server) -> Sequence[dict[str, object]]:
    """The models of the server the operator named; that it cannot be reached is worth saying."""
    try:
        listed = listing(server, ASK_PATIENCE)
    except (Garbage, ModelMissing):
        listed = []
    if not listed:
        raise BadInput(
            f"LOOM_MODEL is not set, and {server.label} does not say which models it has.",
            hint="Set LOOM_MODEL to the model's name.",
        )
    return listed


def _ask(listing: ListModels, server: Server) -> Sequence[dict[str, object]]:
    try:
        return listing(server, PROBE_PATIENCE)
    except CallFailed:
        return ()


def _window(model: Mapping[str, object]) -> int:
    """The context window a server lists: vLLM, llama.cpp, LM Studio; zero if it does not say."""
    meta = model.get("meta")
    spots = (model, meta if isinstance(meta, dict) else {})
    names = ("max_model_len", "n_ctx", "loaded_context_length", "context_length", "max_context_length")
    values = (spot.get(name) for spot in spots for name in names)
    return next((value for value in values if isinstance(value, int) and 0 < value <= MOST_TOKENS), 0)


def _price(env: Mapping[str, str], otherwise: Price) -> Price:
    """LOOM_PRICE_IN and LOOM_PRICE_OUT, USD per million tokens, go before what we know or assume."""
    given_in, given_out = _value(env, "LOOM_PRICE_IN"), _value(env, "LOOM_PRICE_OUT")
    if not given_in and not given_out:
        return otherwise
    price_in = _usd(given_in, "LOOM_PRICE_IN") if given_in else otherwise.input
    price_out = _usd(given_out, "LOOM_PRICE_OUT") if given_out else otherwise.output
    return Price(price_in, price_out)


def _usd(raw: str, name: str) -> int:
    try:
        amount = float(raw)
    except ValueError:
        amount = -1.0
    if not 0 <= amount < 1_000_000:
        raise BadInput(f"{name} must be USD per million tokens, such as 0.25, not {raw!r}.")
    return microusd(amount)


def _number(env: Mapping[str, str], name: str, otherwise: int) -> int:
    raw = _value(env, name)
    if not raw:
        return otherwise
    if not raw.isdecimal() or len(raw) > 10 or int(raw) > MOST_TOKENS:
        raise BadInput(f"{name} must be a whole number up to {MOST_TOKENS:,}, not {raw[:40]!r}.")
    return int(raw)


def _switch(env: Mapping[str, str], name: str) -> bool | None:
    """on, off, or None for auto and unset."""
    raw = _value(env, name).lower()
    if raw in {"on", "true", "yes", "1"}:
        return True
    if raw in {"off", "false", "no", "0"}:
        return False
    if raw in {"", "auto"}:
        return None
    raise BadInput(f"{name} must be on, off or auto, not {raw!r}.")


def _first(env: Mapping[str, str], names: Sequence[str]) -> str:
    return next((value for name in names if (value := _value(env, name))), "")


def _value(env: Mapping[str, str], name: str) -> str:
    return env.get(name, "").strip()
