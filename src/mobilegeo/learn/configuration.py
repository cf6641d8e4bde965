"""TOML files as typed records, with every key known."""

from __future__ import annotations

import tomllib
import types
from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from mobilegeo.errors import UsageError

_Record = TypeVar("_Record")


def read_toml(path: Path, overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The table of a file, changed by overrides.

    Args:
        path: the file.
        overrides: each `section.key=value`, the value as TOML would have it; a value that is no
            TOML stands for itself as text.

    Raises:
        UsageError: the file is missing or is no TOML, or an override cannot be meant.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(path, f"is not a readable TOML file ({error})", "correct it") from error
    for override in overrides:
        _set(table, override)
    return table


def record(kind: type[_Record], table: Any, where: str, base: Path = Path()) -> _Record:
    """Builds a dataclass from a table, refusing keys it does not have and values it cannot take.

    Nested tables become nested dataclasses, lists become tuples, paths are relative to `base`.

    Args:
        kind: the dataclass.
        table: its values.
        where: the file and section, for messages.
        base: folder that relative paths start from.

    Raises:
        UsageError: a key is unknown or missing, or a value is of another type.
    """
    if not isinstance(table, Mapping):
        raise UsageError(where, f"is {table!r}, not a table", "write its keys below it")
    names = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = sorted(set(table) - set(names))
    if unknown:
        raise UsageError(
            where, f"has unknown keys {unknown}", f"remove them; the known ones are {sorted(names)}"
        )
    hints = get_type_hints(kind)
    values = {name: _value(hints[name], given, where, name, base) for name, given in table.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise UsageError(where, f"cannot be used ({error})", "correct the keys") from error


def _set(table: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    *sections, name = key.strip().split(".")
    if not equals or not all((*sections, name)):
        raise UsageError(f"--set {override}", "is no assignment", "write it as section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    for section in sections:
        table = table.setdefault(section, {})
        if not isinstance(table, dict):
            raise UsageError(f"--set {override}", f"{section} is no section", "see the file")
    table[name] = value


def _value(hint: Any, given: Any, where: str, name: str, base: Path) -> Any:
    """`given` as the type that `hint` asks for; `where` and `name` say whose value it is."""
    origin, arguments = get_origin(hint), get_args(hint)
    if is_dataclass(hint) and isinstance(hint, type):
        return record(hint, given, _section(where, name), base)
    if origin is tuple:
        return _several(arguments, given, where, name, base)
    if origin in (Union, types.UnionType):
        (wanted,) = (a for a in arguments if a is not type(None))
        return _value(wanted, given, where, name, base)
    if origin is Literal:
        choice = f"one of {', '.join(map(str, arguments))}"
        return _checked(given in arguments, given, where, name, choice)
    if hint is Path:
        return (base / _checked(isinstance(given, str), given, where, name, "a path")).resolve()
    return _plain(hint, given, where, name)


def _several(hints: Sequence[Any], given: Any, where: str, name: str, base: Path) -> Any:
    """A tuple; a list of tables is a list of dataclasses."""
    listed = _checked(isinstance(given, list), given, where, name, "a list")
    if hints[-1] is Ellipsis:
        hints = [hints[0]] * len(listed)
    _checked(len(listed) == len(hints), given, where, name, f"a list of {len(hints)}")
    return tuple(
        record(hint, entry, f"{where} [[{name}]]", base)
        if is_dataclass(hint) and isinstance(hint, type)
        else _value(hint, entry, where, name, base)
        for hint, entry in zip(hints, listed, strict=True)
    )


def _plain(hint: Any, given: Any, where: str, name: str) -> Any:
    if hint is float:
        number = isinstance(given, (int, float)) and not isinstance(given, bool)
        return float(_checked(number, given, where, name, "a number"))
    for kind, wanted in ((bool, "true or false"), (int, "a whole number"), (str, "text")):
        if hint is kind:
            return _checked(type(given) is kind, given, where, name, wanted)
    return given


def _checked(holds: bool, given: Any, where: str, name: str, wanted: str) -> Any:
    if not holds:
        raise UsageError(where, f"{name} is {given!r}", f"give {wanted}")
    return given


def _section(where: str, name: str) -> str:
    """`FILE` → `FILE [name]`, `FILE [outer]` → `FILE [outer.name]`."""
    return f"{where[:-1]}.{name}]" if where.endswith("]") else f"{where} [{name}]"
