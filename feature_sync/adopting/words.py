"""The vocabulary of model and column names: words that suggest keys, entities, times and personal data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise

_LAYERS = re.compile(r"^(stg|raw|src|base|int|dim|fct|fact|mart|rpt|agg|snp|snap|snapshot)_(?=.)")
_KINDS = re.compile(r"(?<=.)_(snapshot|history|latest|current|scd|scd2)$")
_IDENTIFYING = re.compile(r"(?<=.)(?i:_(id|key|code|uuid|guid|sk|pk))$|(?<=[a-z0-9])(Id|ID|Key|Code)$")
_OWN = ("id", "key", "code", "uuid", "guid", "pk")

_ROW = "row|record|db|dwh?|dbt|source|src|etl|sys|system|warehouse"
_MOMENT = r"_?(at|on|time|ts|timestamp|date)?"
_ZONE = re.compile(r"_(utc|gmt|tz|ntz|ltz|local)$")
_WRITTEN = (
    re.compile(
        r"_fivetran_synced|_airbyte_\w+|_etl\w*|etl_\w+|_dlt_\w+|_sdc_\w+|_synced|_loaded"
        rf"|_?(({_ROW}|last|latest|max)_)?(loaded|ingested|synced|imported|extracted|refreshed|load){_MOMENT}"
    ),
    re.compile(rf"_?(({_ROW})_)?inserted{_MOMENT}"),
    re.compile(rf"_?(({_ROW}|last|latest|max)_)?(updated|modified){_MOMENT}"),
    re.compile(rf"_?(({_ROW})_)?created{_MOMENT}"),
)
LOADED, INSERTED, UPDATED, CREATED = range(len(_WRITTEN))
_HAPPENED = (
    re.compile(r"event_(timestamp|time|ts|at|date)|occurred_(at|on)|happened_(at|on)|timestamp"),
    re.compile(r".*_(at|time|timestamp|ts)|(hour|day|week|month|period|window)_(end|ended)"),
    re.compile(r".*_(date|on|day|hour|week|month)|date|day|hour|week|month"),
)
NO_TIME = len(_HAPPENED)
_UNCAST = re.compile(r"(.*_)?(at|ts|timestamp|datetime|date|epoch)|event_time")
_PLANNED = {
    "due", "expires", "expiry", "expiration", "expected", "estimated", "eta", "matures", "maturity", "renews",
    "renewal", "scheduled", "planned", "promised", "deadline", "until", "next", "ends", "starts", "begins", "closes",
}  # fmt: skip
_ENDS = {
    "end", "ended", "finish", "finished", "complete", "completed", "close", "closed", "stopped", "resolved", "last",
    "latest", "final", "recent",
}  # fmt: skip
_STARTS = {
    "start", "started", "begin", "began", "begun", "first", "open", "opened", "created", "registered", "joined",
    "earliest",
}  # fmt: skip

VALIDITY = (("valid_from", "valid_to"), ("dbt_valid_from", "dbt_valid_to"), ("effective_from", "effective_to"))
"""Pairs of names of the columns that hold the start and end of a row's validity."""
LENGTHS = {"week": "7d", "month": "31d", "quarter": "92d", "year": "366d"}
"""Periods longer than a day by name, and the greatest length of each."""
DATES = ("date", "day", "on", *LENGTHS)
"""Last words of the names of columns that hold dates."""
PERIOD_ENDS = {"end", "ended", "ending"}

_BIRTH = {"birth", "birthday", "birthdate", "dob", "born"}
_PERSONAL = _BIRTH | {
    "email", "emails", "mail", "phone", "phones", "telephone", "tel", "mobile", "fax", "name", "firstname", "lastname",
    "fullname", "surname", "username", "nickname", "login", "address", "addresses", "addr", "street", "zip", "zipcode",
    "postcode", "postal", "ssn", "birthplace", "ip", "ipv4", "ipv6",
    "iban", "bic", "passport", "password", "passwd", "pwd", "secret", "token", "tokens", "nin", "tin",
}  # fmt: skip
_PERSONAL_PAIRS = {
    ("card", "number"), ("account", "number"), ("license", "number"), ("licence", "number"), ("tax", "id"),
    ("national", "id"), ("social", "security"), ("e", "mail"),
}  # fmt: skip

_SINGULAR = (
    (re.compile(r"(series|species|status|news|sms|.*(ss|us|is))$"), r"\1"),
    (re.compile(r"people$"), "person"),
    (re.compile(r"(movie|cookie)s$"), r"\1"),
    (re.compile(r"(.*)ies$"), r"\1y"),
    (re.compile(r"(.*(ss|sh|ch|x|zz|tus))es$"), r"\1"),
    (re.compile(r"(.*)s$"), r"\1"),
)
"""Plural endings and their singular; the first match counts, so irregular words come first."""


def split(name: str) -> list[str]:
    """Split a name at underscores and at capitals that follow small letters or digits.

    >>> split("firstName"), split("IP_ADDRESS")
    (['first', 'name'], ['ip', 'address'])
    """
    return [word.lower() for word in re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).split("_") if word]


def may_be_personal(column: str) -> bool:
    """True if a column's name suggests personal data or a secret."""
    parts = split(column)
    return not _PERSONAL.isdisjoint(parts) or any(pair in _PERSONAL_PAIRS for pair in pairwise(parts))


def identifies(column: str) -> bool:
    """True if a column is named like an identifier, such as `id` or `customer_id`."""
    return is_generic(column) or _IDENTIFYING.search(column) is not None


def is_generic(column: str) -> bool:
    """True if a column's name is one that every model may use for its own key, such as `id`."""
    return column.lower() in _OWN


def is_own_key(column: str, model: str) -> bool:
    """True if a column is named as its own model's key: `id`, or `customer_id` in `customers`."""
    return is_generic(column) or (identifies(column) and entity_of_column(column) == entity_of_model(model))


def entity_of_column(column: str) -> str:
    """Return the name of the entity that a column identifies.

    >>> entity_of_column("customer_id"), entity_of_column("sensor")
    ('customer', 'sensor')
    """
    return "_".join(split(_IDENTIFYING.sub("", column))) or column.lower()


def entity_of_model(model: str) -> str:
    """Return the name of the entity that a model lists, in the singular and without layer prefixes.

    >>> entity_of_model("stg_shop__customers"), entity_of_model("dim_companies")
    ('customer', 'company')
    """
    bare = _KINDS.sub("", _LAYERS.sub("", model).rpartition("__")[2]) or model
    before, underscore, last = bare.lower().rpartition("_")
    singular = next((found.expand(one) for many, one in _SINGULAR if (found := many.match(last))), last)
    return before + underscore + singular


def happened_rank(column: str) -> int:
    """Rank how clearly a column is named as the time of an event: 0 is clearest, `NO_TIME` not at all."""
    rank = _rank(column, _HAPPENED)
    return NO_TIME if rank is None else rank


def written_rank(column: str) -> int | None:
    """Return which time of writing a column's name means, from `LOADED` to `CREATED`; None if it means none.

    The lower the value, the more certain that the row itself was written then.
    """
    return _rank(column, _WRITTEN)


def end_rank(column: str) -> int:
    """Return 0 if a column's name means the end of something, 2 if it means a start, else 1.

    >>> end_rank("ended_at"), end_rank("ordered_at"), end_rank("first_order_at")
    (0, 1, 2)
    """
    parts = split(column)
    return 0 if not _ENDS.isdisjoint(parts) else 2 if not _STARTS.isdisjoint(parts) else 1


def is_planned_or_birth(column: str) -> bool:
    """True if a column's name means a birth or a time that may be in the future: no row was complete then."""
    return not (_PLANNED | _BIRTH).isdisjoint(split(column))


def is_named_as_moment(column: str) -> bool:
    """True if a column is named like a moment or a date, whatever its type."""
    return _UNCAST.fullmatch(_without_zone(column)) is not None


def _rank(column: str, patterns: Sequence[re.Pattern[str]]) -> int | None:
    bare = _without_zone(column)
    return next((rank for rank, pattern in enumerate(patterns) if pattern.fullmatch(bare)), None)


def _without_zone(column: str) -> str:
    return _ZONE.sub("", column.lower())
