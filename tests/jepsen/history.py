"""What happened, one line an event, in seconds since the start."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from tests.lab.waiting import now


@dataclass(frozen=True)
class Event:
    """Something that was done or seen."""

    at: float
    kind: str
    text: str

    def __str__(self) -> str:
        """Render a line."""
        return f"{self.at:9.2f}  {self.kind:<8}{self.text}"


@dataclass(frozen=True)
class Band:
    """A fault, as long as it lasted."""

    begin: float
    end: float
    text: str


@dataclass
class History:
    """The events of one run, kept in a file as they come."""

    file: Path
    began: float = field(default_factory=now)
    events: list[Event] = field(default_factory=list)
    bands: list[Band] = field(default_factory=list)

    def note(self, kind: str, text: str, at: float | None = None) -> Event:
        """Write an event down."""
        event = Event((now() if at is None else at) - self.began, kind, text)
        self.events.append(event)
        with self.file.open("a") as file:
            file.write(f"{event}\n")
        print(event, flush=True)
        return event

    def lasted(self, begin: float, text: str) -> None:
        """Note that a fault which began then is over."""
        self.bands.append(Band(begin - self.began, now() - self.began, text))
