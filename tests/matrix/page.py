"""docs/matrix.md: the newest outcome of every cell, kept up cell by cell, also by several runs at the same time."""

from __future__ import annotations

import datetime
import fcntl
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.matrix.cells import Cell, every_cell
from tests.matrix.run import HEADER, Outcome

PAGE = Path(__file__).parents[2] / "docs" / "matrix.md"
FENCE = "```"
LINE = re.compile(r"(?P<day>\S+)  (?P<cell>P\S+ P\S+ S\S+ / .*?) {2,}(?P<rest>.*)")
NUMBERS = re.compile(
    r"(?P<acks>\d+) +(?P<lost>\d+) +(?P<seconds>[\d.]+)  (?P<serves>primary|standby) *(?P<complaints>.*)"
)
TEXT = """\
# Every combination of broken links

`make matrix` keeps this page, line by line: the newest outcome of every cell, with the day on which it was run.

The lab: two nodes and an arbiter (PostgreSQL), synchronous, on real Corosync and Pacemaker; a client with several
sessions writes all the time through the address, and what was acknowledged is looked for afterwards. In each cell
links break, as the first column says, and the primary's node loses its power while they are broken. Then all of it is
healed, in the order that follows. `P` is the primary, `S` the standby, `A` the arbiter; `PxS`: neither hears the other;
`P>S`: what P says is lost; `P<S`: what S says is lost. `acks` are the commits that clients were told of, `lost` those
that were not there in the end, `service` the seconds from the end of healing to the next commit, `serves` who took it.
Nothing is cleaned up or repaired by hand before that; a former primary that has diverged is repaired before the next
cell.

"""


class Page:
    """What is known of the cells."""

    def __init__(self, path: Path = PAGE) -> None:
        self._path = path

    def lines(self) -> dict[str, str]:
        """Return what the page says of each cell."""
        if not self._path.exists():
            return {}
        found = map(LINE.fullmatch, self._path.read_text(encoding="utf-8").splitlines())
        return {each["cell"]: each.string for each in found if each}

    def ended(self) -> set[str]:
        """Return the names of the cells that have an outcome."""
        return {cell for cell, line in self.lines().items() if NUMBERS.search(line)}

    def keep(self, cell: Cell, outcome: Outcome | str) -> None:
        """Write down what came of a cell: an outcome, or why it did not end."""
        said = str(outcome) if isinstance(outcome, Outcome) else f"{cell!s:<38}  did not end: {outcome}"
        with self._locked():
            lines = self.lines()
            lines[str(cell)] = f"{datetime.datetime.now(tz=datetime.UTC):%Y-%m-%d}  {said}".rstrip()
            new = self._path.with_suffix(".new")
            new.write_text(render(lines), encoding="utf-8")
            new.rename(self._path)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        place = os.open(self._path.parent, os.O_RDONLY)
        try:
            fcntl.flock(place, fcntl.LOCK_EX)
            yield
        finally:
            os.close(place)


def render(lines: Mapping[str, str]) -> str:
    """Return the page, in the order of the cells."""
    cells = [str(each) for each in every_cell()]
    body = [lines[name] for name in cells if name in lines]
    return "\n".join([TEXT + summary(lines), "", FENCE, f"{'run on':<12}{HEADER}", *body, FENCE, ""])


def summary(lines: Mapping[str, str]) -> str:
    """Say what it comes to."""
    found = [each for each in map(NUMBERS.search, lines.values()) if each]
    total, ended = len(list(every_cell())), len(found)
    acks, lost = (sum(int(each[name]) for each in found) for name in ("acks", "lost"))
    slowest = max((float(each["seconds"]) for each in found), default=0.0)
    complaints = sum(1 for each in found if each["complaints"])
    return (
        f"**{ended} of {total} cells: {lost} of {acks:,} acknowledged commits lost; service after at most {slowest:.1f}"
        f" s; {complaints} cells with complaints, {len(lines) - ended} that did not end.**"
    )
