"""The watermark of a streamed view: for each partition, the first offset that its rows have not seen.

The hooks of the dbt package keep it beside the relation of the model, in a table of the same database and schema, so
that the builds of developers and of production never mix. A build first notes what it is going to read, and makes it
valid once the model is built; only valid rows count. docs/streaming.md has the layout.
"""

from __future__ import annotations

from sqlglot import exp

from feature_sync.definitions import FeatureView
from feature_sync.sql.columns import named, quoted, table
from feature_sync.sql.dialects.base import Dialect
from feature_sync.sql.render import write

SUFFIX = "__watermark"
"""What follows the name of a model in the name of its table; the macro `watermark_relation` says the same."""
TOPIC, PARTITION, NEXT_OFFSET, STATE = "topic", "topic_partition", "next_offset", "state"
_VALID = "valid"


def watermark_table(view: FeatureView, *, dialect: Dialect) -> exp.Table:
    """Refer to the table that the hooks keep beside the view's relation, from the first build with them on."""
    beside = table(view.relation, dialect=dialect)
    beside.set("this", exp.to_identifier(f"{beside.name}{SUFFIX}", quoted=beside.this.quoted))
    return beside


def watermark_rows(view: FeatureView, topic: str, *, dialect: Dialect) -> exp.Select:
    """Select partition and next offset, both integers, of each partition that the newest whole build has seen.

    Read it in the snapshot of the view's rows, or before them: an older watermark only lets the stream say again what
    the rows say already, a newer one loses rows. A partition without a row has been seen from nowhere: 0.

    Args:
        view: The view.
        topic: The topic of its stream.
        dialect: The dialect of the warehouse.
    """
    return (
        exp.select(quoted(PARTITION), named(exp.Min(this=quoted(NEXT_OFFSET)), NEXT_OFFSET))
        .from_(watermark_table(view, dialect=dialect))
        .where(quoted(STATE).eq(exp.Literal.string(_VALID)), quoted(TOPIC).eq(exp.Literal.string(topic)))
        .group_by(quoted(PARTITION))
    )


def watermark_relation(view: FeatureView, *, dialect: Dialect) -> str:
    """Return the quoted name of that table, as dbt writes names of relations."""
    return write(watermark_table(view, dialect=dialect), dialect=dialect)


def watermark_name(view: FeatureView, *, dialect: Dialect) -> tuple[str, str]:
    """Return schema and name of that table, to look for it, or to name it in a message."""
    beside = watermark_table(view, dialect=dialect)
    return beside.db, beside.name
