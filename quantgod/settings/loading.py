"""Read settings files.

A settings file may say `inherits: other.yaml`; its own values then replace those of that file one
by one. Unknown keys and values of a wrong type are errors that name the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from quantgod.settings.settings import Settings


class SettingsError(ValueError):
    """Settings cannot be used; names the key, what came and what was expected."""


def load_settings(path: Path, overrides: Mapping[str, Any] | None = None) -> Settings:
    """Read a settings file and those it inherits from; `overrides` are values by dotted key.

    `None` overrides like any value: `live.history=null` removes what a file says.

    Raises:
        SettingsError: naming the key, what was given and what is allowed.
    """
    values = _read(path, ())
    for key, value in (overrides or {}).items():
        _put(values, key, value)
    return settings_of(values, f"{path} and what was given besides" if overrides else str(path))


def with_values(settings: Settings, overrides: Mapping[str, Any]) -> Settings:
    """Return the settings with other values, by dotted key.

    Raises:
        SettingsError: naming the key, what was given and what is allowed.
    """
    values = settings.model_dump(mode="json")
    for key, value in overrides.items():
        _put(values, key, value)
    return settings_of(values, "given")


def settings_of(values: Any, where: str) -> Settings:
    """Check values and return them as settings; `where` names their source in errors.

    Raises:
        SettingsError: naming the place and the key, what was given and what is allowed.
    """
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise SettingsError(_explain(where, error)) from None


def _read(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in seen:
        raise SettingsError(f"{path}: inherits itself")
    try:
        values = _Loader(path.read_text(encoding="utf-8")).get_single_data()
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
    return _merge(_read(path.parent / parent, (*seen, path.resolve())), values)


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, but a repeated key is an error; YAML would drop the first one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                problem = f"{key} stands twice"
                raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return super().construct_mapping(node, deep)


# Each of these mappings is one value: a file that has it replaces the whole mapping.
_WHOLE = ("params", "space")


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        inner = merged.get(key)
        both = isinstance(inner, dict) and isinstance(value, dict) and key not in _WHOLE
        merged[key] = _merge(inner, value) if both else value  # type: ignore[arg-type]
    return merged


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
        else:
            lines.append(f"{key}: {problem['msg']}, got {problem['input']!r}")
    return f"{where}: " + "; ".join(lines)


def _section_at(where: tuple[int | str, ...]) -> type[BaseModel]:
    section: type[BaseModel] = Settings
    for part in where:
        inner = (
            section.model_fields[str(part)].annotation
            if str(part) in section.model_fields
            else None
        )
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            break
        section = inner
    return section
