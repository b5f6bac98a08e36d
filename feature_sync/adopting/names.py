"""What the names of models and columns suggest: entities, times, and what may be personal data."""

from __future__ import annotations

import re
from itertools import pairwise

from feature_sync.dbt.manifest import Node

_LAYERS = re.compile(r"^(stg|raw|src|base|int|dim|fct|fact|mart|rpt|agg|snp|snap|snapshot)_(?=.)")
_KINDS = re.compile(r"(?<=.)_(snapshot|history|latest|current|scd|scd2)$")
_IDENTIFYING = re.compile(r"(?<=.)(?i:_(id|key|code|uuid|guid|sk|pk))$|(?<=[a-z0-9])(Id|ID|Key|Code)$")
_OWN = ("id", "key", "code", "uuid", "guid", "pk")
_SAME_IN_PLURAL = ("series", "species", "status", "news", "sms")
_SIBILANT = ("sses", "shes", "ches", "xes", "zzes", "tuses")

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
"""What the two columns are called by which a row says from when until when it holds."""
IS_DELETED = "dbt_is_deleted"

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


def words(name: str) -> list[str]:
    """Split a name at underscores and where small letters meet capitals.

    >>> words("firstName"), words("IP_ADDRESS")
    (['first', 'name'], ['ip', 'address'])
    """
    return [word.lower() for word in re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).split("_") if word]


def may_be_personal(column: str) -> bool:
    """Tell whether a column's name suggests that it says who somebody is, or lets one act as somebody."""
    parts = words(column)
    return not _PERSONAL.isdisjoint(parts) or any(pair in _PERSONAL_PAIRS for pair in pairwise(parts))


def identifies(column: str) -> bool:
    """Tell whether a column's name says that it identifies something."""
    return is_generic(column) or _IDENTIFYING.search(column) is not None


def is_generic(column: str) -> bool:
    """Tell whether a column's name is one that every model gives to its own key, such as `id`."""
    return column.lower() in _OWN


def is_own_key(column: str, model: str) -> bool:
    """Tell whether a column is named as the key of its own model: `id`, or `customer_id` in `customers`."""
    return is_generic(column) or (identifies(column) and entity_of_column(column) == entity_of_model(model))


def entity_of_column(column: str) -> str:
    """Name what a column identifies.

    >>> entity_of_column("customer_id"), entity_of_column("sensor")
    ('customer', 'sensor')
    """
    return "_".join(words(_IDENTIFYING.sub("", column))) or column.lower()


def entity_of_model(model: str) -> str:
    """Name one of the things that a model lists.

    >>> entity_of_model("stg_shop__customers"), entity_of_model("dim_companies")
    ('customer', 'company')
    """
    bare = _KINDS.sub("", _LAYERS.sub("", model).rpartition("__")[2]) or model
    before, underscore, last = bare.lower().rpartition("_")
    return before + underscore + _singular(last)


def happened_rank(column: str) -> int:
    """Rank a column's name by how clearly it says when something happened: the lower, the clearer."""
    return next((rank for rank, pattern in enumerate(_HAPPENED) if pattern.fullmatch(_bare(column))), NO_TIME)


def written_rank(column: str) -> int | None:
    """Rank a column's name by how clearly it says when a row was written; None where it does not say so."""
    return next((rank for rank, pattern in enumerate(_WRITTEN) if pattern.fullmatch(_bare(column))), None)


def end_rank(column: str) -> int:
    """Rank a column's name: 0 if it says when something ended, 2 if it says when it began, else 1.

    >>> end_rank("ended_at"), end_rank("ordered_at"), end_rank("first_order_at")
    (0, 1, 2)
    """
    parts = words(column)
    return 0 if not _ENDS.isdisjoint(parts) else 2 if not _STARTS.isdisjoint(parts) else 1


def is_elsewhen(column: str) -> bool:
    """Tell whether a column's name says that its time is a birth, or may be still to come: when no row was complete."""
    return not (_PLANNED | _BIRTH).isdisjoint(words(column))


def is_named_as_moment(column: str) -> bool:
    """Tell whether a column's name says that it holds moments or dates, whatever its type."""
    return _UNCAST.fullmatch(_bare(column)) is not None


def _bare(column: str) -> str:
    return _ZONE.sub("", column.lower())


def is_update_time(column: str) -> bool:
    """Tell whether a column is named as the time of a row's last change."""
    return written_rank(column) == 2  # noqa: PLR2004 - its place in the list above


def snapshot_columns(node: Node) -> set[str]:
    """Name the columns that dbt adds to a snapshot, as the project renamed them, and that of its strategy.

    Of these a model that selects from a snapshot may have all, but only one that never means anything.
    """
    if node.resource_type != "snapshot":
        return {"dbt_scd_id"}
    config = node.config or {}
    renamed = config.get("snapshot_meta_column_names") or {}
    usual = ("dbt_valid_from", "dbt_valid_to", "dbt_scd_id", "dbt_updated_at", "dbt_is_deleted")
    return {str(renamed.get(name) or name) for name in usual} | {str(config.get("updated_at") or "dbt_updated_at")}


def _singular(word: str) -> str:
    if word in _SAME_IN_PLURAL or word.endswith(("ss", "us", "is")):
        return word
    if word == "people":
        return "person"
    if word.endswith("ies") and word not in ("movies", "cookies"):
        return f"{word[:-3]}y"
    if word.endswith(_SIBILANT):
        return word[:-2]
    return word.removesuffix("s")
