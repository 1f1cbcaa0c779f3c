"""Read settings files.

A settings file may say `inherits: other.yaml`; its own values then replace those of that file one
by one, and those of a member replace the file's in the same way. Unknown keys and values of a wrong
type are errors that name the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any, Final, get_args

import yaml
from pydantic import BaseModel, ValidationError

from quantgod.settings.settings import Member, MemberSection, Settings

_BY_MEMBER: Final = ("weights", "min_confidence")
"""Settings of an ensemble that are by the names of its members."""


class SettingsError(ValueError):
    """Settings cannot be used; names the key, what came and what was expected."""


def load_settings(
    path: Path, overrides: Mapping[str, Any] | None = None, member: str | None = None
) -> Settings:
    """Read a settings file and those it inherits from; `overrides` are values by dotted key.

    `None` overrides like any value: `live.history=null` removes what a file says.

    Args:
        path: the file.
        overrides: come last, also over what a member says.
        member: gives the settings of this member, as if they were written out in a file of its own.

    Raises:
        SettingsError: naming the key, what was given and what is allowed.
    """
    given = overrides or {}
    where = f"{path} and what was given besides" if given else str(path)
    values = _overridden(_read(path, ()), given)
    found = settings_of(values, where)
    if member is None:
        return found
    _check_name(found, member, path)
    own = {key: value for key, value in given.items() if key.partition(".")[0] != "members"}
    return settings_of(_overridden(_of_member(values, member), own), f"{where}, member {member}")


def with_values(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings with other values, by dotted key.

    Raises:
        SettingsError: naming the key, what was given and what is allowed.
    """
    return settings_of(_overridden(settings.model_dump(mode="json"), overrides), "given")


def settings_of(values: Any, where: str) -> Settings:
    """Check values and return them as settings; `where` names their source in errors.

    Raises:
        SettingsError: naming the place and the key, what was given and what is allowed.
    """
    try:
        settings = Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(where, error)) from None
    _check_members(settings, values, where)
    return settings


def _check_members(settings: Settings, values: Mapping[str, Any], where: str) -> None:
    """Check the settings of each member, and that no two are registered under one name."""
    taken: dict[str, str] = {}
    for name in settings.members:
        own = settings_of(_of_member(values, name), f"{where}, member {name}").registry.name
        other = taken.setdefault(own, name)
        if other != name:
            raise SettingsError(
                f"{where}: members {other} and {name} share registry.name {own!r}, so that one "
                "would be judged against the other: give each its own, or leave it out"
            )


def members_of(settings: Settings) -> dict[str, Settings]:
    """Return the settings of each member, as `load_settings` of a file with these values does."""
    values = settings.model_dump(mode="json")
    return {
        name: settings_of(_of_member(values, name), f"member {name}") for name in settings.members
    }


def with_members(settings: Settings, chosen: Mapping[str, Settings]) -> Settings:
    """Return settings whose members are these: `members_of` gives them back."""
    sections = get_args(MemberSection)
    told: dict[str, Member] = {
        name: {key: getattr(one, key).model_dump(mode="json") for key in sections}
        for name, one in chosen.items()
    }
    return settings.model_copy(update={"members": told})


def without_disabled(settings: Settings) -> Settings:
    """Return the settings of an ensemble as if its disabled members were absent."""
    how = settings.ensemble
    if how is None or not how.disabled:
        return settings

    of_members = {"members": settings.members, **{one: getattr(how, one) for one in _BY_MEMBER}}
    kept = {
        key: {name: value for name, value in named.items() if name not in how.disabled}
        for key, named in of_members.items()
    }
    members = kept.pop("members")
    ensemble = how.model_copy(update={"disabled": (), **kept})
    return settings.model_copy(update={"members": members, "ensemble": ensemble})


def _of_member(values: Mapping[str, Any], name: str) -> dict[str, Any]:
    """Return values with a member's over them.

    Unless it says otherwise, its model is named after it, and `train` makes its out-of-fold rows.
    """
    common = {key: value for key, value in values.items() if key not in ("members", "ensemble")}
    named = {"name": f"{common['registry']['name']}-{name}"}
    own = {"registry": named, "train": {"out_of_fold": True}}
    return _merge(_merge(common, own), values["members"][name])


def _check_name(settings: Settings, member: str, path: Path) -> None:
    if member not in settings.members:
        known = ", ".join(settings.members) or "none"
        raise SettingsError(f"{path}: no member {member} (its members: {known})")


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise SettingsError(f"{path}: inherits itself")
    try:
        values = _values_of(path.read_text(encoding="utf-8"), path.name)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be read ({error.strerror})"
            + (f"; {seen[-1]} inherits it, which is looked up beside that file" if seen else "")
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # a date that is none, bytes that are no UTF-8
        raise SettingsError(f"{path}: is not YAML: {error}") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{path}: a mapping was expected, got {type(values).__name__}")
    parent = values.pop("inherits", None)
    if parent is None:
        return values
    if not isinstance(parent, str):
        raise SettingsError(f"{path}: inherits: one file's name was expected, got {parent!r}")
    inherited = _read(path.parent / parent, (*seen, path.resolve()))
    return _without_removed_members(inherited, _merge(inherited, values))


def _without_removed_members(
    inherited: Mapping[str, Any], values: dict[str, Any]
) -> dict[str, Any]:
    """Return values without the inherited members that a file sets to null."""
    before, now = inherited.get("members"), values.get("members")
    if not (isinstance(before, dict) and isinstance(now, dict)):
        return values
    kept = {name: own for name, own in now.items() if own is not None or name not in before}
    return values | {"members": kept}


def _values_of(text: str, name: str) -> Any:
    """Return what a file's YAML says; an error names the file and shows the line.

    The compiled loader is seven times as fast, but shows no line.
    """
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError:
        loader = _ShowingLoader(text)
        loader.name = name
        return loader.get_single_data()


class _NoKeyTwice:
    """A loader to which a repeated key is an error; YAML would drop the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: list[Any] = []  # a key may be a list itself
        for key, _ in node.value:
            if key.value in seen:
                problem = f"{key.value} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, key.start_mark)
            seen.append(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)  # type: ignore[misc]
        return mapping


class _Loader(_NoKeyTwice, getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """The compiled loader, unless PyYAML was built without it."""


class _ShowingLoader(_NoKeyTwice, yaml.SafeLoader):
    """The loader in Python."""


# Each of these mappings is one value: a file that has it replaces the whole mapping.
_WHOLE = ("params", "space")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict) and key not in _WHOLE
        merged[key] = _merge(inner, value) if both else value  # type: ignore[arg-type]
    return merged


def _overridden(values: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values with others by dotted key; what was given is not changed."""
    result = deepcopy(dict(values))
    for key, value in overrides.items():
        _put(result, key, value)
    return result


def _put(values: dict[str, Any], key: str, value: Any) -> None:
    *sections, last = key.split(".")
    for section in sections:
        values = values.setdefault(section, {})
        if not isinstance(values, dict):
            raise SettingsError(f"{key}: {section} is not a section")
    values[last] = value


def _explain(where: str, error: ValidationError) -> str:
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            allowed = ", ".join(sorted(_section_at(problem["loc"][:-1]).model_fields))
            lines.append(f"{key}: unknown key (allowed: {allowed})")
        elif problem["type"] == "missing":
            lines.append(f"{key}: missing")
        elif not key:  # of all settings together, which nobody wants to read
            lines.append(str(problem["msg"]).removeprefix("Value error, "))
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return f"{where}: " + "; ".join(lines)


def _section_at(where: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Settings
    for part in where:
        field = section.model_fields.get(str(part))
        told = None if field is None else field.annotation
        inner = [one for one in (told, *get_args(told)) if _is_section(one)]  # X, or X | None
        if not inner:
            break
        section = inner[0]
    return section


def _is_section(told: Any) -> bool:
    return isinstance(told, type) and issubclass(told, BaseModel)
