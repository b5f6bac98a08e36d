"""The settings that would make a model a feature view, each with its reason, and the YAML that holds them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feature_sync.adopting.features import FeatureGuess
from feature_sync.adopting.keys import EntityGuess
from feature_sync.dbt.schema_file import Place
from feature_sync.yaml_lines import Line, write_keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting's value, and why it is proposed."""

    value: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """All that `init` would write for one model.

    `file` is where, as the project's paths are written. `settings` are those of the feature view, in the order in
    which they are written. `event_time` is None where there is none, or where it stands already. `remarks` are comments
    in the YAML, `hints` what a person should know beside it. `has_meta_beside`: the entry has an older `meta`
    beside its `config`, which takes ours too: dbt refuses two of them.
    """

    name: str
    place: Place
    file: str
    event_time: Setting | None
    entities: tuple[EntityGuess, ...]
    settings: dict[str, Setting]
    features: FeatureGuess
    remarks: tuple[str, ...] = ()
    hints: tuple[str, ...] = ()
    has_meta_beside: bool = False

    def lines(self) -> tuple[Line, ...]:
        """Write what goes into the model's entry."""
        meta = Line(key="meta", below=(Line(key="feature_view", below=tuple(self._view())),))
        config = [_line("event_time", self.event_time)] if self.event_time is not None else []
        if self.has_meta_beside:
            return (*([Line(key="config", below=tuple(config))] if config else []), meta)
        return (Line(key="config", below=(*config, meta)),)

    def _view(self) -> Iterator[Line]:
        below = []
        reason = ""
        for guess in self.entities:
            comment = "" if guess.reason == reason else guess.reason
            below.append(Line(key=guess.entity.name, value=write_keys(guess.entity.join_keys), comment=comment))
            reason = guess.reason
        yield Line(key="entities", below=tuple(below))
        yield from (_line(key, setting) for key, setting in self.settings.items())
        yield Line(key="features", names=self.features.names)
        yield from (Line(comment=remark) for remark in (*self.features.remarks, *self.remarks))


def _line(key: str, setting: Setting) -> Line:
    return Line(key=key, value=setting.value, comment=setting.reason)
