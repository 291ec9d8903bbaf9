"""Links between machines, cut in the switch: packets vanish, nobody is told.

A filter in the switch outlives the power of a machine, and catches whatever address a packet carries: a
virtual one, too. ARP passes, so that a link that is cut one way still carries the other way.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product

from tests.lab.command import attempt, run
from tests.lab.machine import Machine
from tests.lab.netns import Network
from tests.lab.places import SWITCH, Places

TABLE = "lab_links"
FILTER = f"""
table bridge {TABLE} {{
    set cuts {{ type ifname . ifname; }}
    chain forward {{
        type filter hook forward priority 0; policy accept;
        ether type ip iifname . oifname @cuts counter drop
    }}
}}
"""


class Direction(Enum):
    """Which way a link is cut, as seen from the machine that is named first."""

    BOTH = "both"
    IN = "in"
    OUT = "out"


@dataclass(frozen=True)
class Links:
    """What the switch of one lab does not carry."""

    places: Places

    def prepare(self) -> None:
        """Make the filter, which lets everything through."""
        run(*self._nft, "-f", "-", stdin=FILTER)

    def cut(self, side: Sequence[Machine], others: Sequence[Machine], direction: Direction = Direction.BOTH) -> None:
        """Drop what one group says to another; with IN, `side` no longer hears `others`."""
        elements = ", ".join(f'"{source}" . "{target}"' for source, target in pairs(side, others, direction))
        run(*self._nft, f"add element bridge {TABLE} cuts {{ {elements} }}")

    def mend(self, side: Sequence[Machine], others: Sequence[Machine], direction: Direction = Direction.BOTH) -> None:
        """Carry it again, whoever cut it; what was not cut is no error."""
        for source, target in pairs(side, others, direction):
            attempt(*self._nft, f'delete element bridge {TABLE} cuts {{ "{source}" . "{target}" }}')

    def mend_all(self) -> None:
        """Carry everything again."""
        run(*self._nft, f"flush set bridge {TABLE} cuts")

    @property
    def _nft(self) -> tuple[str, ...]:
        return (*Network(self.places).exec_prefix(SWITCH), "nft")


def pairs(side: Iterable[Machine], others: Iterable[Machine], direction: Direction) -> list[tuple[str, str]]:
    """Return who is not heard by whom."""
    both = [(one.name, other.name) for one, other in product(side, others)]
    heard = [(other, one) for one, other in both] if direction is not Direction.OUT else []
    said = both if direction is not Direction.IN else []
    return [*heard, *said]
