# SPDX-License-Identifier: GPL-2.0-or-later
"""Kinds of parameters, and sets of them: how text from the cluster becomes values, or what is wrong with it.

Nothing here knows which parameters there are; that is for `parameters`. Nothing here looks at the host.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, ClassVar, Generic, NamedTuple, NoReturn, Self, TypeVar, overload

T = TypeVar("T")
Word = TypeVar("Word", bound=StrEnum)
Reader = Callable[[str], T]

PREFIX = "OCF_RESKEY_"
MASK = "***"
LONGEST_NUMBER = len(str(2**64))  # int() refuses thousands of digits in an exception of its own
# What OCF's shell functions and Pacemaker itself take for true and false.
TRUE = ("yes", "true", "1", "on", "ja", "y")
FALSE = ("no", "false", "0", "off", "nein", "n")


class Problem(ValueError):
    """A value cannot be used; ``str()`` continues the sentence "NAME=VALUE: ..."."""


class Doc(NamedTuple):
    """What people read about a parameter: one line, and as many sentences as it takes."""

    short: str
    long: str


class Parameter(Generic[T]):
    """One declared parameter: an attribute of the class is the declaration, of an instance the value."""

    def __init__(self, read: Reader[T], default: str, doc: Doc, content: str = "string") -> None:
        self.name = ""
        self.read = read
        self.default = default
        self.doc = doc
        self.content = content
        self.is_secret = False
        self.is_one_line = True
        self.refused: tuple[T, ...] = ()

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object, owner: type) -> Self | T:
        # Reached for the class only: an instance holds its values in its own __dict__, which comes first.
        return self

    def secret(self) -> Self:
        """Keep its value out of messages, logs and repr()."""
        self.is_secret = True
        return self

    def many_lines(self) -> Self:
        """Allow line breaks, which would split a line of a configuration file elsewhere."""
        self.is_one_line = False
        return self

    def refusing(self, *values: T) -> Self:
        """Declare values that a later version will know what to do with."""
        self.refused = values
        return self

    def parse(self, text: str) -> T:
        """Read what the user gave; empty means the default. Problem if it cannot be used."""
        try:
            text.encode()
        except UnicodeEncodeError:
            raise Problem("must be valid in the encoding of this system's locale") from None
        if self.is_one_line and len(text.splitlines()) > 1:
            raise Problem("must be a single line")
        value = self.read(text.strip() or self.default)
        if value in self.refused:
            raise Problem(f"is not available in this version; leave it at {self.default}")
        return value

    def show(self, value: object) -> str:
        """The value as it may appear in a message."""
        return MASK if self.is_secret and value else str(value)


# --- sets -------------------------------------------------------------------------------------


class Conflict(NamedTuple):
    """Values that do not go together: whose, and what to do."""

    involved: set[str]
    text: str


class InvalidParameters(ValueError):
    """Everything that is wrong with the parameters; ``str()`` fits one exit reason."""

    def __init__(self, errors: tuple[str, ...]) -> None:
        super().__init__("; ".join(errors))
        self.errors = errors


class ParameterSet:
    """Values for the parameters that a subclass declares: immutable, each of its declaration's type."""

    declared: ClassVar[tuple[Parameter[Any], ...]] = ()

    def __init_subclass__(cls) -> None:
        cls.declared = tuple(one for one in vars(cls).values() if isinstance(one, Parameter))

    def __init__(self, **values: object) -> None:
        """Take values that are read already; what is missing has its default."""
        unknown = values.keys() - {one.name for one in self.declared}
        if unknown:
            raise TypeError(f"no such parameter: {', '.join(sorted(unknown))}")
        for one in self.declared:
            self.__dict__[one.name] = values[one.name] if one.name in values else one.parse("")

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Read the parameters of a call; InvalidParameters with all that is wrong, not just the first."""
        values: dict[str, object] = {}
        errors: dict[str, str] = {}
        for one in cls.declared:
            given = environ.get(PREFIX + one.name, "")
            try:
                values[one.name] = one.parse(given)
            except Problem as problem:
                errors[one.name] = f"{one.name}={one.show(given)}: {problem}"
        self = cls(**values)
        # A conflict with a value that could not be read would be a guess.
        conflicts = [conflict.text for conflict in self.conflicts() if not errors.keys() & conflict.involved]
        if errors or conflicts:
            raise InvalidParameters((*errors.values(), *conflicts))
        return self

    @classmethod
    def salvaged(cls, environ: Mapping[str, str], indispensable: str) -> Self | None:
        """What can be used of wrong parameters, the others as by default; None if one cannot be done without.

        For actions that must tell the truth about a server that runs, whatever its parameters are.
        """
        values: dict[str, object] = {}
        for one in cls.declared:
            try:
                values[one.name] = one.parse(environ.get(PREFIX + one.name, ""))
            except Problem:
                if one.name == indispensable:
                    return None
        return cls(**values)

    def replace(self, **changes: object) -> Self:
        """A copy that differs in some values."""
        return type(self)(**{**self.__dict__, **changes})

    def conflicts(self) -> Iterator[Conflict]:
        """Values that are good each by itself but not together."""
        yield from ()

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("parameters do not change")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.__dict__ == self.__dict__

    def __hash__(self) -> int:
        return hash(tuple(self.__dict__.values()))

    def __repr__(self) -> str:
        shown = (f"{one.name}={one.show(self.__dict__[one.name])!r}" for one in self.declared)
        return f"{type(self).__name__}({', '.join(shown)})"


# --- kinds ------------------------------------------------------------------------------------


def text(default: str, short: str, long: str) -> Parameter[str]:
    """Anything at all."""
    return Parameter(str, default, Doc(short, long))


def word(default: str, short: str, long: str) -> Parameter[str]:
    """A name or an address: no blanks and nothing that needs quoting."""
    return Parameter(_read_word, default, Doc(short, long))


def _read_word(given: str) -> str:
    if any(char.isspace() or char in "'\"\\" for char in given):
        raise Problem("must be one word, without blanks, quotes and backslashes")
    return given


def path(default: str, short: str, long: str) -> Parameter[str]:
    """An absolute path: an agent has no working directory to speak of."""
    return Parameter(_read_path, default, Doc(short, long))


def _read_path(given: str) -> str:
    if given and not given.startswith("/"):
        raise Problem("must be an absolute path, beginning with /")
    if "'" in given or "\\" in given:
        raise Problem("must be a path without quotes and backslashes")
    return given


def number(default: int, bounds: range, short: str, long: str) -> Parameter[int]:
    """A whole number within bounds; the unit belongs in the description."""
    return Parameter(_number_reader(bounds), str(default), Doc(short, long), "integer")


def optional_number(bounds: range, short: str, long: str) -> Parameter[int | None]:
    """A whole number within bounds, or nothing."""
    read = _number_reader(bounds)
    return Parameter(lambda given: read(given) if given else None, "", Doc(short, long), "integer")


def _number_reader(bounds: range) -> Reader[int]:
    def read(given: str) -> int:
        # int() alone would take 1_0 and digits of other scripts.
        if not (given.removeprefix("-").isdigit() and given.isascii()):
            raise Problem("must be a whole number, without a unit")
        if len(given) > LONGEST_NUMBER or int(given) not in bounds:
            raise Problem(f"must be from {bounds.start} to {bounds.stop - 1}")
        return int(given)

    return read


def flag(default: str, short: str, long: str) -> Parameter[bool]:
    """Yes or no, in the spellings that OCF agents have always taken."""
    return Parameter(_read_flag, default, Doc(short, long), "boolean")


def _read_flag(given: str) -> bool:
    if given.lower() not in TRUE + FALSE:
        raise Problem("must be true or false")
    return given.lower() in TRUE


def choice(default: Word, short: str, long: str) -> Parameter[Word]:
    """One word of an enumeration."""
    words = type(default)

    def read(given: str) -> Word:
        try:
            return words(given.lower())
        except ValueError:
            raise Problem(f"must be one of {', '.join(words)}") from None

    return Parameter(read, default, Doc(short, long))


def names(short: str, long: str) -> Parameter[tuple[str, ...]]:
    """Names of nodes, separated by blanks or commas; by default none."""
    return Parameter(_read_names, "", Doc(short, long))


def _read_names(given: str) -> tuple[str, ...]:
    found = tuple(given.replace(",", " ").split())
    # "|" separates fields of a cluster property, quotes end a name in synchronous_standby_names.
    strange = [name for name in found if not all(char.isalnum() or char in "._-" for char in name)]
    if strange:
        raise Problem(f"{strange[0]} is no node name: use letters, digits, dots, hyphens and underscores")
    known = [name.casefold() for name in found]
    twice = [name for name in found if known.count(name.casefold()) > 1]
    if twice:
        raise Problem(f"names {twice[0]} more than once (case does not count)")
    return found


def slot_name(short: str, long: str) -> Parameter[str]:
    """The beginning of a replication slot's name, in the characters PostgreSQL allows there."""
    return Parameter(_read_slot_name, "", Doc(short, long))


def _read_slot_name(given: str) -> str:
    if not all(char in "abcdefghijklmnopqrstuvwxyz0123456789_" for char in given):
        raise Problem("must consist of lower case letters, digits and underscores")
    return given


def conninfo_options(short: str, long: str, reserved: tuple[str, ...]) -> Parameter[str]:
    """Settings of a libpq connection string, but for those that the agent sets itself."""

    def read(given: str) -> str:
        for keyword in conninfo_keywords(given):
            if keyword in reserved:
                raise Problem(f"must not set {keyword}: the agent does")
        return given

    return Parameter(read, "", Doc(short, long))


def conninfo_keywords(conninfo: str) -> Iterator[str]:
    """The keywords set in ``keyword=value`` form (PostgreSQL documentation, "Connection Strings").

    Problem where libpq would not understand the string either.
    """
    rest = conninfo.strip()
    while rest:
        keyword, equals, rest = rest.partition("=")
        keyword = keyword.strip()
        if not equals or not keyword.replace("_", "").isalnum():
            raise Problem("must be settings such as keepalives_idle=60, separated by blanks")
        yield keyword
        rest = _after_value(rest.lstrip())


def _after_value(rest: str) -> str:
    """What follows a value: it ends at a quote if it began with one, else at a blank."""
    quoted = rest.startswith("'")
    at = 1 if quoted else 0
    while at < len(rest) and not (rest[at] == "'" if quoted else rest[at].isspace()):
        at += 2 if rest[at] == "\\" else 1
    if quoted and at >= len(rest):
        raise Problem("must close every quote that it opens")
    return rest[at + 1 :].lstrip()
