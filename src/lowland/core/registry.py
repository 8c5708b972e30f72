"""Registries: what a setting can name, be it part of lowland, of an installed package, or of a module of the user's.

A member is a class with `name`, `summary` and `source`, and perhaps a `Config` with settings of its own. It comes in by
one of three ways:

- built in: a class in one of this package's own folders under `@register`. Which there are is read from the source
  text, so that a listing needs no import of torch, and a member is one file.
- an entry point of an installed package, in the registry's group (`lowland.spaces`, `lowland.measures`, …).
- any other module that is imported and registers it with the same decorator (`lowland run --plugin mylab.space`).
"""

from __future__ import annotations

import ast
import difflib
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache, lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar, overload

from lowland.core.errors import ConfigError, LowlandError

OWN = "lowland"
"""The package whose members are built in."""


class Member(Protocol):
    """What every member says of itself."""

    name: ClassVar[str]
    summary: ClassVar[str]
    source: ClassVar[str]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting of a member as a listing shows it: name, default as it is written, and what it means."""

    name: str
    default: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a listing.

    Attributes:
        name: What a setting calls it.
        summary: What it is, in a few words.
        source: Where it was published.
        module: Where its class stands.
        settings: Its own settings.
    """

    name: str
    summary: str
    source: str
    module: str
    settings: tuple[Setting, ...] = ()

    @property
    def origin(self) -> str:
        """The package that it comes from."""
        return self.module.partition(".")[0]


T = TypeVar("T")
C = TypeVar("C", bound=type)


@dataclass
class Registry(Generic[T]):
    """The members of one kind, each a class, by name.

    Attributes:
        kind: What a person calls a member, such as `measure`.
        group: Entry-point group of installed packages that bring members.
        package: Package of lowland that holds the built-in members.
    """

    kind: str
    group: str
    package: str
    _classes: dict[str, type[T]] = field(default_factory=dict, repr=False)

    # --- coming in -----------------------------------------------------------------------------------------------

    @overload
    def register(self, member: C) -> C: ...

    @overload
    def register(self, member: str) -> Callable[[C], C]: ...

    def register(self, member: C | str) -> C | Callable[[C], C]:
        """Class decorator: make a class available by its `name`, or by the name given: `@register("mine")`.

        Args:
            member: The class, or the name it is to have.

        Returns:
            The class; for a name, the decorator that gives it to a class.

        Raises:
            ConfigError: another class has that name already, or the class says nothing of itself.
        """
        if isinstance(member, str):
            name = member

            def named(cls: C) -> C:
                cls.name = name  # type: ignore[attr-defined]  # every member has one
                return self._add(cls)

            return named
        return self._add(member)

    def _add(self, cls: C) -> C:
        name = getattr(cls, "name", None)
        if not isinstance(name, str) or not name:
            raise ConfigError(f"{self.kind} {cls.__qualname__} of {cls.__module__} has no name: give it one")
        missing = [what for what in ("summary", "source") if not isinstance(getattr(cls, what, None), str)]
        if missing:
            raise ConfigError(
                f"{self.kind} {name!r} of {cls.__module__} has no {missing[0]}: say it in one line of text"
            )
        holder = self._holder(name)
        # The same class again is a module loaded anew, or a notebook's cell run again.
        if holder is not None and holder != (cls.__module__, cls.__qualname__):
            raise ConfigError(
                f"{self.kind} {name!r} of {cls.__module__} is registered twice: {holder[0]} has one of that name; "
                "choose another name"
            )
        self._classes[name] = cls
        return cls

    def _holder(self, name: str) -> tuple[str, str] | None:
        """Module and qualified name of the class that has `name`, known without importing it."""
        if name in self._classes:
            return self._classes[name].__module__, self._classes[name].__qualname__
        if name in self._declared:
            return self._declared[name].entry.module, self._declared[name].qualname
        return None

    # --- looking up ----------------------------------------------------------------------------------------------

    def names(self) -> list[str]:
        """Every name, sorted. Nothing is imported."""
        return sorted({*self._classes, *self._declared, *self._points()})

    def load(self, name: str) -> type[T]:
        """Look up the class called `name`.

        Returns:
            The class, imported where it was not yet.

        Raises:
            ConfigError: there is none, with the nearest name and all others; or an installed package that should
                bring it does not.
        """
        if name not in self._classes:
            if name in self._declared:
                import_module(self._declared[name].entry.module)
            elif name in self._points():
                self._load_point(name, self._points()[name])
            else:
                raise ConfigError(self.unknown(name))
        return self._classes[name]

    def unknown(self, name: str) -> str:
        """One sentence that says there is no `name`, with the nearest one and all there are."""
        near = difflib.get_close_matches(name, self.names(), n=1)
        suggestion = f" (did you mean {near[0]}?)" if near else ""
        plural = f"{self.kind[:-1]}ies" if self.kind.endswith("y") else f"{self.kind}s"
        return f"unknown {self.kind} {name!r}{suggestion}; known {plural}: {', '.join(self.names())}"

    def classes(self) -> dict[str, type[T]]:
        """All classes by name, sorted; imports all."""
        return {name: self.load(name) for name in self.names()}

    def built_in(self) -> list[Entry]:
        """The built-in members for a listing, by name. Nothing is imported."""
        return [self._declared[name].entry for name in sorted(self._declared)]

    def entries(self) -> list[Entry]:
        """All members for a listing, by name. Built-in ones are not imported for it, those of others are."""
        return [
            self._declared[name].entry if name in self._declared else _described(self.load(name))
            for name in self.names()
        ]

    def described(self, name: str) -> Entry:
        """Describe one member with all its settings, also those that its `Config` inherits; imports it.

        Returns:
            The line of a listing.

        Raises:
            ConfigError: as `load`.
        """
        return _described(self.load(name))

    def modules(self) -> list[str]:
        """Modules outside this package that brought members; importing them in another process brings them there."""
        found = {cls.__module__ for cls in self._classes.values()}
        return sorted(name for name in found if name.partition(".")[0] not in (OWN, "__main__"))

    # --- within --------------------------------------------------------------------------------------------------

    @property
    def _declared(self) -> dict[str, _Declaration]:
        return _declarations(self.package)

    def _points(self) -> dict[str, EntryPoint]:
        return {point.name: point for point in _points(_folders()).select(group=self.group)}

    def _load_point(self, name: str, point: EntryPoint) -> None:
        try:
            point.load()
        except (ImportError, AttributeError) as error:
            raise ConfigError(
                f"{self.kind} {name!r} is announced by an installed package but cannot be loaded from {point.value!r} "
                f"({error}); repair or remove that package"
            ) from error
        if name not in self._classes:
            raise ConfigError(
                f"{self.kind} {name!r} is announced by an installed package, but {point.value!r} registers none of "
                "that name; give the entry point the name under which its class is registered"
            )


def _folders() -> tuple[tuple[str, int], ...]:
    """Where packages are installed, and when each folder last changed: a package's metadata are a folder therein."""
    found = []
    for folder in sys.path:
        with suppress(OSError):
            found.append((folder, Path(folder).stat().st_mtime_ns))
    return tuple(found)


@lru_cache(maxsize=1)
def _points(_: tuple[tuple[str, int], ...]) -> Any:  # of another class before Python 3.12
    # Kept while no folder changes: it opens a file of every installed package, and every check of settings asks for it.
    return entry_points()


def _described(cls: type[Any]) -> Entry:
    """A class as a line of a listing."""
    fields = getattr(getattr(cls, "Config", None), "model_fields", {})
    settings = tuple(
        Setting(name, repr(each.get_default(call_default_factory=True)), each.description or "")
        for name, each in fields.items()
    )
    return Entry(cls.name, cls.summary, cls.source, cls.__module__, settings)


# --- built-in members, read from the source text ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Declaration:
    entry: Entry
    qualname: str


@cache
def _declarations(package: str) -> dict[str, _Declaration]:
    """Registered classes of a package of lowland by name, from its files' text."""
    root = Path(__file__).resolve().parents[1]
    found: dict[str, _Declaration] = {}
    for file in sorted(root.joinpath(*package.split(".")[1:]).rglob("*.py")):
        text = file.read_text(encoding="utf-8")
        if "@register" in text:
            module = ".".join((OWN, *file.relative_to(root).with_suffix("").parts)).removesuffix(".__init__")
            found |= {each.entry.name: each for each in _registered_classes(ast.parse(text), module)}
    return found


def _registered_classes(tree: ast.Module, module: str) -> Iterator[_Declaration]:
    for node in tree.body:
        if not isinstance(node, ast.ClassDef):
            continue
        marks = [each.func if isinstance(each, ast.Call) else each for each in node.decorator_list]
        if any(isinstance(mark, ast.Name) and mark.id == "register" for mark in marks):
            texts = {key: value for key, value in _assigned(node) if isinstance(value, ast.Constant)}
            missing = [key for key in ("name", "summary", "source") if key not in texts]
            if missing:
                raise ValueError(f"{module}.{node.name} must write its {missing[0]} as plain text in its class body")
            name, summary, source = (str(texts[key].value) for key in ("name", "summary", "source"))
            yield _Declaration(Entry(name, summary, source, module, tuple(_settings(node))), node.name)


def _assigned(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr]]:
    for each in node.body:
        if isinstance(each, ast.Assign) and isinstance(each.targets[0], ast.Name):
            yield each.targets[0].id, each.value
        elif isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name) and each.value is not None:
            yield each.target.id, each.value


def _settings(node: ast.ClassDef) -> Iterator[Setting]:
    """The fields of the class `Config` within a member: `key: type = default`, or with a `Field`."""
    for inner in node.body:
        if isinstance(inner, ast.ClassDef) and inner.name == "Config":
            for key, value in _assigned(inner):
                if not isinstance(value, ast.Call):
                    yield Setting(key, ast.unparse(value))
                    continue
                said = {word.arg: word.value for word in value.keywords}
                described = said.get("description")
                description = str(ast.literal_eval(described)) if described is not None else ""
                yield Setting(key, ast.unparse(value.args[0]) if value.args else "", description)


# --- the registries --------------------------------------------------------------------------------------------------

SPACES: Registry[Any] = Registry("space", "lowland.spaces", "lowland.spaces")
MEASURES: Registry[Any] = Registry("measure", "lowland.measures", "lowland.measures")
STRATEGIES: Registry[Any] = Registry("strategy", "lowland.strategies", "lowland.search.strategies")
SEARCHERS: Registry[Any] = Registry("searcher", "lowland.searchers", "lowland.workflow.searchers")
SUITES: Registry[Any] = Registry("suite", "lowland.suites", "lowland.evaluation")
EXECUTORS: Registry[Any] = Registry("executor", "lowland.executors", "lowland.execution")

REGISTRIES = (SPACES, MEASURES, STRATEGIES, SEARCHERS, SUITES, EXECUTORS)


def outside_modules() -> tuple[str, ...]:
    """Modules outside this package that brought members of any kind, for worker processes to import."""
    return tuple(dict.fromkeys(module for registry in REGISTRIES for module in registry.modules()))


def import_plugins(modules: tuple[str, ...]) -> None:
    """Import modules of the user's, which register what they bring. The current folder may hold them.

    Raises:
        ConfigError: one of them cannot be imported, or fails while it is.
        LowlandError: one of them raises it itself.
    """
    here = str(Path.cwd())
    if modules and here not in sys.path and "" not in sys.path:
        sys.path.append(here)  # last: it shadows no installed package
    for module in modules:
        try:
            import_module(module)
        except ImportError as error:
            raise ConfigError(
                f"--plugin {module}: cannot be imported ({error}); give the dotted name of a module that is installed "
                "or lies below the current folder"
            ) from error
        except LowlandError:
            raise
        except Exception as error:  # anybody's code may raise anything
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
            raise ConfigError(f"--plugin {module}: fails while it is imported ({reason}); repair it") from error
