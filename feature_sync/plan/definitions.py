"""Compares definitions: of a feature view and its features, of an entity, of a feature service."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from feature_sync.definitions import FeatureService, FeatureView, Selection, format_duration
from feature_sync.definitions.stream import Stream
from feature_sync.plan.verdict import Reason, Verdict, breaking

_TIMES = {
    "history": "the history",
    "event_timestamp": "the event timestamp",
    "known_at": "known_at",
    "valid_to": "valid_to",
    "valid_to_current": "the valid_to of current rows",
    "is_deleted": "the column of deleted rows",
    "lag": "the lag",
    "timezone": "the timezone",
}
_READ_BY = ("format", "key_format", "columns", "timestamps", "message", "descriptor")


def view_reasons(old: FeatureView, new: FeatureView, readers: Iterable[str]) -> Iterator[Reason]:
    """Yield what differs between two definitions of a view as a whole.

    Args:
        old: The view in the other state.
        new: The view in this project.
        readers: The feature services that read it in the other state.
    """
    readers = tuple(readers)
    if (before := _keys(old)) != (after := _keys(new)):
        yield breaking(f"the entities change from {before} to {after}", readers, of_keys=True)
    elif old.join_keys != new.join_keys:
        yield breaking(
            f"the join keys change from {_list(old.join_keys)} to {_list(new.join_keys)}", readers, of_keys=True
        )
    for name in new.join_keys:
        types = _type(old, name), _type(new, name)
        if name in old.join_keys and None not in types and types[0] != types[1]:
            yield breaking(f"the key {name} changes from {types[0]} to {types[1]}", readers, of_keys=True)
    for field, called in _TIMES.items():
        values = getattr(old, field), getattr(new, field)
        if values[0] != values[1]:
            yield breaking(f"{called} changes from {_text(values[0])} to {_text(values[1])}", readers)
    yield from _ttl(old, new, readers)
    if old.created_timestamp != new.created_timestamp:
        yield Reason(verdict=Verdict.MAY_CHANGE, text="the created timestamp changes, which decides between equal rows")
    if old.online != new.online:
        text = "is online now" if new.online else "is no longer online"
        yield (
            Reason(verdict=Verdict.RE_PUSH, text=text)
            if new.online
            else breaking(text, readers, otherwise=Verdict.SAFE)
        )
    yield from _stream(old.stream, new.stream)
    if _table(old) != _table(new):
        text = f"its table is {_table(new)} instead of {_table(old)}: the next push needs --take-over"
        yield Reason(verdict=Verdict.RE_PUSH, text=text)


def _ttl(old: FeatureView, new: FeatureView, readers: Iterable[str]) -> Iterator[Reason]:
    if old.ttl == new.ttl:
        return
    text = f"the TTL changes from {_text(old.ttl)} to {_text(new.ttl)}"
    if new.ttl is None or (old.ttl is not None and new.ttl > old.ttl):
        yield Reason(verdict=Verdict.RE_PUSH, text=text)
    else:
        yield breaking(f"{text}: older rows no longer answer", readers)


def _stream(old: Stream | None, new: Stream | None) -> Iterator[Reason]:
    """Yield what becomes of a stream; a push sends all rows where it must forget what the old one wrote."""
    if old is None and new is not None:
        yield Reason(verdict=Verdict.SAFE, text=f"streams the topic {new.topic} from the next push on")
    elif old is not None and new is None:
        yield Reason(verdict=Verdict.RE_PUSH, text=f"no longer streams the topic {old.topic}")
    elif old is not None and new is not None:
        if old.topic != new.topic:
            yield Reason(verdict=Verdict.RE_PUSH, text=f"streams the topic {new.topic} instead of {old.topic}")
        if read := [f"stream.{each}" for each in _READ_BY if getattr(old, each) != getattr(new, each)]:
            text = f"{_list(read)} changes: messages may be read as other rows; restart feature-sync stream"
            yield Reason(verdict=Verdict.MAY_CHANGE, text=text)
        if any(getattr(old, each) != getattr(new, each) for each in ("dead_letter_topic", "dead_letter_file")):
            yield Reason(verdict=Verdict.SAFE, text="dead letters go elsewhere; restart feature-sync stream")


def feature_reasons(old: FeatureView, new: FeatureView, name: str, readers: Iterable[str]) -> Iterator[Reason]:
    """Yield what differs between two definitions of a feature that at least one of two views has.

    Args:
        old: The view in the other state.
        new: The view in this project.
        name: The feature.
        readers: The feature services that read the feature in the other state.
    """
    defaults = [{each.name: each.default for each in view.features} for view in (old, new)]
    if name not in defaults[0]:
        yield Reason(verdict=Verdict.SAFE, text="is new")
    elif name not in defaults[1]:
        yield breaking("is removed", readers, otherwise=Verdict.SAFE)
    else:
        types = _type(old, name), _type(new, name)
        if None not in types and types[0] != types[1]:
            yield breaking(f"changes its type from {types[0]} to {types[1]}", readers)
        if defaults[0][name] != defaults[1][name]:
            yield breaking(f"its default changes from {defaults[0][name]!r} to {defaults[1][name]!r}", readers)


def service_reasons(old: FeatureService, new: FeatureService) -> Iterator[Reason]:
    """Yield what differs between two definitions of a feature service, apart from its views."""
    readers = (old.name,)
    before, after = _outputs(old), _outputs(new)
    for name, (reference, feature) in before.items():
        if name not in after:
            yield breaking(f"{name} is no longer among its features", readers)
        elif after[name] != (reference, feature):
            yield breaking(f"{name} is {'.'.join(after[name])} instead of {reference}.{feature}", readers)
    for name in after.keys() - before.keys():
        yield Reason(verdict=Verdict.SAFE, text=f"{name} is new among its features")
    if set(old.join_keys) != set(new.join_keys):
        yield breaking(f"requests name {_list(new.join_keys)} instead of {_list(old.join_keys)}", readers)
    elif _spines(old) != _spines(new) and before.keys() == after.keys():
        yield breaking("other columns of a request are the keys of a view", readers)
    kept = [[name for name in names if name in before and name in after] for names in (before, after)]
    if kept[0] != kept[1]:
        yield breaking("the order of its features changes", readers)


def readers_of(services: Iterable[FeatureService], reference: str, feature: str | None = None) -> list[str]:
    """Return the services that read a view, or one of its features."""
    return [
        service.name
        for service in services
        if any(_reads(each, reference, feature) for each in service.selections)
    ]  # fmt: skip


def _reads(selection: Selection, reference: str, feature: str | None) -> bool:
    return selection.view.reference == reference and (feature is None or feature in selection.features)


def _outputs(service: FeatureService) -> dict[str, tuple[str, str]]:
    return {
        service.output_name(each, feature): (each.view.reference, feature)
        for each in service.selections
        for feature in each.features
    }


def _spines(service: FeatureService) -> list[tuple[str, tuple[str, ...]]]:
    return sorted((each.view.reference, each.spine_keys) for each in service.selections)


def _keys(view: FeatureView) -> str:
    entities = sorted(view.entities, key=lambda each: each.name)
    return ", ".join(f"{each.name} ({', '.join(each.join_keys)})" for each in entities)


def _type(view: FeatureView, name: str) -> str | None:
    column = view.relation.columns.get(name)
    return None if column is None else column.data_type


def _table(view: FeatureView) -> str:
    """Return the name of a view's table without its schema, which differs between environments."""
    return view.relation.name.rpartition(".")[2].strip('"`')


def _list(names: Iterable[str]) -> str:
    return ", ".join(names) or "nothing"


def _text(value: Any) -> str:
    if value is None:
        return "none"
    return format_duration(value) if hasattr(value, "total_seconds") else str(value)
