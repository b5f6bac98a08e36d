"""Requests for feature vectors without input or output: generators that yield commands of Redis and get their replies.

The clients, one for threads and one for asyncio, only carry commands and replies. A request is one MGET of the revision
and of all row keys. If the revision is not the one with which the card was read, the card is read again and the request
starts anew, so that no answer goes by an older TTL, default or definition than Redis held while it was asked.

The reads of a request need not be of one moment, and on a Redis Cluster, where the revision, the card and the rows are
on different nodes, they are not. Rows name their schema, so that each is read as it was written, whatever the card; and
a revision read at any time after the request began is as new as the promise asks. What must hold is one order: the
revision is read before the card that is judged by it, as pushes write the card before the revision. A card may then be
newer than its revision, which makes the next request read it again, but never older, which nothing would notice.
On a cluster the revision is read at most once a second, or its node would be asked by every request: there an answer
goes by definitions that are up to a second older.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from time import monotonic
from typing import Any

import msgspec

from feature_sync.errors import OnlineStoreError, RequestError
from feature_sync.online.codec import read_row_schema
from feature_sync.serving.card import Card, CardSelection
from feature_sync.serving.card_sources import CardSource, Command, Request
from feature_sync.serving.entities import Entities, held, read_entities, read_entity
from feature_sync.serving.row_plan import RowPlan
from feature_sync.serving.row_reads import RowReads
from feature_sync.serving.service_rows import ServiceRows
from feature_sync.serving.vectors import FeatureVector, FeatureVectors
from feature_sync.serving.view_rows import Judge, UnknownLayouts
from feature_sync.value_types import MICROSECOND, from_microseconds, to_microseconds

Asked = tuple[ServiceRows, Mapping[str, Any], tuple[bytes | str, ...]]
"""The compiled card by which an entity is read, the entity's keys by name, and the command."""

KEYS_PER_COMMAND = 1_000
_MOST_STARTS = 10
"""How often a request starts anew while pushes change cards or schemas."""


class ServiceRequests:
    """The requests of one client; its only state is the compiled card, which is replaced as a whole."""

    def __init__(self, source: CardSource, *, max_age: timedelta | None = None, revision_period: float = 0.0) -> None:
        """Prepare requests; sends nothing.

        Args:
            source: Where the card is.
            max_age: The oldest age of a row, besides the TTL; None for any.
            revision_period: How many seconds a revision that was read stays good; 0 if each request reads it.

        Raises:
            RequestError: `max_age` is not a duration.
        """
        given: Any = max_age
        if given is not None and (not isinstance(given, timedelta) or given < timedelta(0)):
            raise RequestError(f"max_age is a timedelta, such as timedelta(hours=1), and not {max_age!r}")
        self._source = source
        self._max_age = None if max_age is None else max_age // MICROSECOND
        self._revision = () if source.watches is None else (source.watches,)
        self._services: dict[bool, ServiceRows] = {}
        """The compiled card, by whether it is lenient."""
        self._period = revision_period
        self._good_until = 0.0
        """Until when the revision of the compiled card need not be read again."""

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the compiled card; a copy reads it again."""
        return {**self.__dict__, "_services": {}, "_good_until": 0.0}

    def card(self) -> Request[Card]:
        """Read the card anew."""
        return (yield from self._load(lenient=False)).card

    def known(self) -> Request[ServiceRows]:
        """Return the compiled card; reads it if it was not read yet."""
        return self._services.get(False) or (yield from self._load(lenient=False))

    def ask(self, entity: Any, keys: Mapping[str, Any], *, lenient: bool) -> Asked | None:
        """Return the one MGET that answers for an entity, which `told` reads; None if `get` is needed.

        Args:
            entity: A mapping, or the value of the only key; None with `keys`.
            keys: The keys by name.
            lenient: Answer null for what cannot be read, instead of raising.
        """
        service = self._services.get(lenient)
        if service is None:
            return None
        try:
            named = keys if entity is None else read_entity(service, entity, keys)
            row_keys = service.row_keys(named)
        except RequestError:
            return None  # `get` reads the card again before it refuses: a push may have changed the keys
        if row_keys is None:
            return None
        if self._period and self._revision:
            return self._ask_rows(service, named, row_keys)
        return service, named, ("MGET", *self._revision, *row_keys)

    def _ask_rows(self, service: ServiceRows, named: Mapping[str, Any], row_keys: list[bytes]) -> Asked | None:
        """Return an MGET of rows alone while the revision is good; None, so that `get` reads it, every now and then."""
        return (service, named, ("MGET", *row_keys)) if monotonic() < self._good_until else None

    def told(self, asked: Asked, replies: list[Any], moment: datetime | None = None) -> FeatureVector | None:
        """Read the vector from the replies to `ask`; None if a push has changed something, and `get` is needed.

        Args:
            asked: What `ask` returned.
            replies: What Redis holds at the keys.
            moment: Judges age; None for now.

        Raises:
            OnlineStoreError: A row cannot be read, or lacks a feature.
        """
        service, named, _ = asked
        if self._revision and not self._period and replies.pop(0) != service.revision:
            return None
        try:
            return service.vector(named, replies, self._judges(service, moment))
        except UnknownLayouts:
            return None

    def get(
        self, entity: Any, keys: Mapping[str, Any], *, lenient: bool = False, moment: datetime | None = None
    ) -> Request[FeatureVector]:
        """Read the vector of one entity, whatever happened to the card.

        Args:
            entity: A mapping, or the value of the only key; None with `keys`.
            keys: The keys by name.
            lenient: Answer null for what cannot be read, instead of raising.
            moment: Judges age; None for now.
        """
        vectors = yield from self._read(
            lambda service: read_entities(service, [read_entity(service, entity, keys)]), lenient=lenient, moment=moment
        )
        vector: FeatureVector = vectors[0]
        return vector

    def get_many(self, rows: Any, *, lenient: bool = False, moment: datetime | None = None) -> Request[FeatureVectors]:
        """Read the vectors of many entities, in order; see `read_entities` for their forms."""
        rows = held(rows)
        return (yield from self._read(lambda service: read_entities(service, rows), lenient=lenient, moment=moment))

    def _read(
        self, entities_of: Callable[[ServiceRows], Entities], *, lenient: bool, moment: datetime | None
    ) -> Request[FeatureVectors]:
        """Read vectors, and start anew as long as pushes change the card."""
        service, is_fresh = self._services.get(lenient), False
        for _ in range(_MOST_STARTS):
            if service is None:
                service, is_fresh = (yield from self._load(lenient=lenient)), True
            try:
                entities = entities_of(service)
                plan = RowPlan.of(service, entities)
            except RequestError:
                if is_fresh:
                    raise
                service = None  # a push may have changed the keys
                continue
            reads = self._row_reads(plan, service, moment)
            found, is_current = yield from self._fetch(plan, reads, service)
            if not is_current:
                service = None
                continue
            if reads is not None:
                if (rows := reads.rows()) is not None:
                    return service.assembled(entities, plan.with_nulls(rows), plan.invalid)
                found = reads.contents()
            try:
                return service.vectors(entities, plan.by_key(found), self._judges(service, moment), plan.invalid)
            except UnknownLayouts as unknown:
                service = yield from self._learn(service, unknown)
        raise OnlineStoreError("the service is being pushed faster than it can be read; ask again")

    def _row_reads(self, plan: RowPlan, service: ServiceRows, moment: datetime | None) -> RowReads | None:
        """Return what reads the rows on a cluster; None on one server."""
        if not self._period:
            return None
        return service.row_reads(plan.wanted, early=self._is_judged_by_redis(service, moment))

    def _fetch(
        self, plan: RowPlan, reads: RowReads | None, service: ServiceRows
    ) -> Request[tuple[list[bytes | None], bool]]:
        """Read values, and whether the revision was the known one throughout.

        Args:
            plan: The row keys.
            reads: What reads them all on a cluster, and keeps what it finds; None elsewhere.
            service: The compiled card.
        """
        began = monotonic()
        revision_key = () if self._period and began < self._good_until else self._revision
        width = len(revision_key)
        commands: list[Command]
        if reads is None:
            keys = [*chain.from_iterable(plan.wanted)]
            starts = range(0, len(keys), KEYS_PER_COMMAND) if keys else range(1) if revision_key else range(0)
            commands = [("MGET", *revision_key, *keys[at : at + KEYS_PER_COMMAND]) for at in starts]
        else:
            commands = [("MGET", *revision_key)] if revision_key else []
            if any(plan.wanted):
                commands.append(reads)
        if not commands:
            return [], True
        found: list[bytes | None] = []
        is_current = True
        for command, replies in zip(commands, (yield commands), strict=True):
            if command is not reads:
                is_current = is_current and (not width or replies[0] == service.revision)
                found += replies[width:]
        if width:
            self._good_until = began + self._period if is_current else 0.0
        return found, is_current

    def _load(self, *, lenient: bool) -> Request[ServiceRows]:
        began = monotonic()
        card, revision = yield from self._source.read(in_turn=self._period > 0)
        self._good_until = began + self._period
        self._services = {each: ServiceRows(card, revision, lenient=each) for each in (False, True)}
        return self._services[lenient]

    def _learn(self, service: ServiceRows, unknown: UnknownLayouts) -> Request[ServiceRows]:
        """Read schemas that a push has written since the card; rows of those that are of no use are bad rows."""
        (contents,) = yield [("HMGET", unknown.selection.schemas, *unknown.ids)]
        learnt, faults = _layouts(unknown, contents)
        card = msgspec.structs.replace(
            service.card,
            selections=tuple(
                msgspec.structs.replace(each, layouts={**each.layouts, **learnt})
                if each.view == unknown.selection.view
                else each
                for each in service.card.selections
            ),
        )
        faults = {**service.faults, **faults}
        learned = ServiceRows(card, service.revision, lenient=service.lenient, faults=faults)
        if not faults:  # a schema that is not there now may be there for the next request
            self._services = {**self._services, service.lenient: learned}
        return learned

    def _judges(self, service: ServiceRows, moment: datetime | None) -> Sequence[Judge | None]:
        """Return who judges age: Redis expires rows by itself, unless they were pushed at a fixed clock."""
        if self._is_judged_by_redis(service, moment):
            return service.no_judges
        return [self._judge(each, moment) for each in service.card.selections]

    def _is_judged_by_redis(self, service: ServiceRows, moment: datetime | None) -> bool:
        return moment is None and self._max_age is None and service.is_judged_by_redis

    def _judge(self, selection: CardSelection, moment: datetime | None) -> Judge | None:
        if moment is None and selection.as_of is None and self._max_age is None:
            return None
        now = to_microseconds(datetime.now(UTC)) if moment is None else to_microseconds(moment)
        if moment is not None:
            pushed = selection.as_of if selection.as_of is not None else to_microseconds(datetime.now(UTC))
            if now < pushed:
                raise RequestError(
                    f"{selection.view} was pushed as of {from_microseconds(pushed):%Y-%m-%d %H:%M:%S}Z and cannot "
                    "answer for an earlier moment; ask a training set, or push again with --as-of"
                )
        elif selection.as_of is not None:
            now = selection.as_of
        ages = [each for each in (selection.ttl, self._max_age) if each is not None]
        return Judge(now, min(ages, default=None))


def _layouts(
    unknown: UnknownLayouts, contents: Sequence[bytes | None]
) -> tuple[dict[str, tuple[tuple[str, str], ...]], dict[bytes, str]]:
    """Read the layouts that schemas in Redis describe, by their ids; and what is wrong with the others.

    A schema with other join keys than the card's is no use: its rows, of other entities, may stand at the same keys.
    """
    layouts: dict[str, tuple[tuple[str, str], ...]] = {}
    faults: dict[bytes, str] = {}
    for schema_id, content in zip(unknown.ids, contents, strict=True):
        try:
            schema = None if content is None else read_row_schema(content)
        except OnlineStoreError:
            schema = None
        if schema is None:
            faults[schema_id] = f"Redis has no schema {schema_id.hex()} that can be read"
        elif tuple((name, str(kind)) for name, kind in schema.keys) != unknown.selection.schema_keys:
            faults[schema_id] = "it was pushed with other keys"
        else:
            layouts[schema_id.hex()] = tuple((name, str(kind)) for name, kind in schema.features)
    return layouts, faults
