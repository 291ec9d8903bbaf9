# SPDX-License-Identifier: GPL-2.0-or-later
"""May this node's data be rewound or made anew, by which of the two, and what is lost with it? Rules R7 and R12.

Nothing acknowledged is lost where commits wait for standbys: the node that the record names as the primary, and no
other, is the source, and its own data is never touched. What a repair throws away is WAL that nobody else has.
"""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple

from expgsql_ra.deployment import Deployment, NodeFacts
from expgsql_ra.record import Doubtful, Missing, Proposal, Record, Successor, Trusted, Unbound, Unreachable, rewritten
from expgsql_ra.repairs import Folder, Mark, Source
from expgsql_ra.rules import divergence
from expgsql_ra.snapshot import ControlData, LocalWal
from expgsql_ra.values import Ancestry, Fork, Lsn, RepMode, same_node

CLEAN = frozenset({"shut down", "shut down in recovery"})
"""The states in which ``pg_rewind`` takes a data directory (PostgreSQL source, ``ensureCleanShutdown``)."""
MARGIN = 512 << 20
"""Bytes that a base backup needs besides the databases: WAL that is written meanwhile, and room to start."""


class Way(Enum):
    """What was asked for."""

    REWIND = "repair"
    REWIND_OR_REBUILD = "repair --or-rebuild"
    REBUILD = "rebuild"


# --- whether at all ---------------------------------------------------------------------------

Verdict = Trusted | Unbound | Missing | Doubtful | Unreachable
"""What is to be made of the record that the authority has."""


class Scene(NamedTuple):
    """Everything that is looked at before anything is done."""

    node: str
    """Whose data is to be repaired."""
    seen: Deployment
    here: NodeFacts
    primary: NodeFacts
    """What the promoted node says of its server; unreachable where nobody is promoted."""
    record: Verdict | None
    """None where no record is kept: nobody waits for standbys then."""


class Objection(NamedTuple):
    """Why nothing is done, and what to do instead."""

    why: str
    inconsistent: bool = False
    """Whether views contradict each other, or there is no quorum."""
    passing: bool = False
    """Whether it passes by itself after a change in the cluster: who works unattended waits for that."""


def is_recorded(seen: Deployment) -> bool:
    """Whether promotions of this resource go by a record."""
    return seen.parameters.rep_mode is RepMode.SYNC or seen.parameters.enable_distlock


def objection(scene: Scene) -> Objection | None:
    """Why this node's data must not be touched now; None if nothing speaks against it."""
    return _against_the_cluster(scene) or _against_the_source(scene) or _against_the_node(scene)


def _against_the_cluster(scene: Scene) -> Objection | None:
    seen = scene.seen
    if seen.parameters.rep_mode not in {RepMode.SYNC, RepMode.ASYNC}:
        return Objection(f"rep_mode={seen.parameters.rep_mode}: this resource has no primary of its own to copy from")
    if not seen.view.may_decide:
        return Objection(
            "this node's part of the cluster has no quorum: repair it from the part that has the primary",
            inconsistent=True,
            passing=True,
        )
    if seen.node(scene.node) is None:
        return Objection(f"the cluster has no node {scene.node}: expgsql status lists them")
    if not seen.promoted:
        return Objection("the cluster has no primary to copy from: expgsql why tells what it waits for", passing=True)
    if same_node(seen.promoted, scene.node):
        return Objection(f"{scene.node} is the primary: its data is what the others are repaired from")
    return None


def _against_the_source(scene: Scene) -> Objection | None:
    """The source has to be the one whom the record names: he, and he alone, has every acknowledged commit."""
    promoted, primary = scene.seen.promoted, scene.primary
    if primary.server != "primary":
        return Objection(
            f"{promoted} is promoted, but its server is no primary that answers "
            f"({primary.why or primary.server}): expgsql status",
            inconsistent=primary.answers,
            passing=True,
        )
    return record_objection(scene.record, scene.node, promoted)


def record_objection(verdict: Verdict | None, node: str, promoted: str) -> Objection | None:
    """Why the record forbids to touch a node's data while another is promoted."""
    match verdict:
        case Trusted(record) | Unbound(record):
            return _against_the_record(record, node, promoted)
        case Missing(why) | Doubtful(why) | Unreachable(why):
            return Objection(f"the record, which must let go of this data first, is not to be had: {why}", passing=True)
        case _:
            return None


def _against_the_record(record: Record, node: str, promoted: str) -> Objection | None:
    if same_node(record.primary, node):
        return Objection(
            f"the record names {node} as the primary: its data may be the only one with every acknowledged commit; "
            "start it (expgsql cleanup)",
            inconsistent=True,
        )
    if not same_node(record.primary, promoted):
        return Objection(
            f"the record names {record.primary} as the primary, Pacemaker {promoted}: wait until they agree",
            inconsistent=True,
            passing=True,
        )
    return None


STOPPABLE = frozenset({"stopped", "standby", "starting", "orphans"})


def _against_the_node(scene: Scene) -> Objection | None:
    here = scene.here
    if here.server == "standby" and here.receiver == "streaming" and not here.marks:
        return Objection(
            f"{scene.node} streams from its primary: there is nothing to repair; to make its data anew all the same, "
            f"stop its server first (expgsql standby on {scene.node})"
        )
    if here.server not in STOPPABLE:
        return Objection(
            f"what runs on {scene.node} cannot be repaired as it is: {here.server}{here.why and ': ' + here.why}; "
            f"stop it first (expgsql standby on {scene.node})",
            passing=here.server == "unknown",
        )
    return None


# --- what is done -----------------------------------------------------------------------------


class Follow(NamedTuple):
    """The data lies on the primary's history: it only has to be started."""


class Rewind(NamedTuple):
    """The data can be taken back to where the histories parted; ``certain`` is False before a crash recovery."""

    loss: str
    certain: bool


class Renew(NamedTuple):
    """The data has to be made anew, with the reason."""

    why: str


Intent = Follow | Rewind | Renew
Plan = Intent | Objection


def plan(way: Way, folder: Folder, local: LocalWal | None, state: str, history: Ancestry | None) -> Plan:
    """What to do. ``local`` is None where there is no database; ``state`` is the control file's."""
    if history is None:
        return Objection(
            "the cluster does not know the primary's whole history yet: wait for its next monitor", passing=True
        )
    if way is Way.REBUILD:
        return Renew("as asked for")
    needed = _must_be_renewed(folder, local, history)
    if needed and way is Way.REWIND:
        return Objection(f"{needed}: run expgsql rebuild (or expgsql repair --or-rebuild)")
    if needed or local is None:
        return Renew(needed)
    verdict = divergence.may_follow(local, history)
    if isinstance(verdict, divergence.Follows):
        return Follow()
    return Rewind(loss(local, history), certain=state in CLEAN and isinstance(verdict, divergence.Diverged))


def _must_be_renewed(folder: Folder, local: LocalWal | None, history: Ancestry) -> str:
    """Why nothing less than a new copy helps; empty if something does."""
    if local is None:
        return f"there is no database in {folder.path}"
    if Mark.REWINDING in folder.marks:
        return "an earlier pg_rewind was interrupted while it wrote, and what it left cannot be trusted"
    if local.system != history.system:
        return f"the data here is of another database system ({local.system}, the primary's is {history.system})"
    return ""


def parting(local: LocalWal, history: Ancestry) -> Fork | None:
    """The last point that both histories have in common; None where that cannot be told."""
    mine = (*local.forks, Fork(local.timeline, Lsn(2**64 - 1)))
    theirs = (*history.forks, Fork(history.current, Lsn(2**64 - 1)))
    shared: Fork | None = None
    for ours, other in zip(mine, theirs, strict=False):
        if ours.timeline != other.timeline:
            return shared
        if ours.end != other.end:
            return Fork(ours.timeline, min(ours.end, other.end))
        shared = ours
    return None


def loss(local: LocalWal, history: Ancestry) -> str:
    """What a rewind throws away, for people."""
    fork = parting(local, history)
    if fork is None:
        return "whatever lies beyond what this data has in common with the primary's"
    end = max((one for one in (local.end, local.reached, local.last_record) if one is not None), default=None)
    text = f"the WAL from {fork.end} on timeline {fork.timeline} on, where the primary's history left it"
    if end is None or end <= fork.end:
        return f"{text}; how far it goes is known after the crash recovery"
    return f"{text}, up to {end} at least ({end - fork.end:,} bytes or more)"


def promise(mode: RepMode) -> str:
    """What a loss means for clients."""
    if mode is RepMode.SYNC:
        return "nobody was told that anything in it was committed"
    return "commits that clients were told of may be in it, as rep_mode=async does not wait for standbys"


def needs_recovery(control: ControlData) -> bool:
    """Whether the server here did not end in order."""
    return control.state not in CLEAN


# --- R12: the record first --------------------------------------------------------------------


def dismissal(record: Record, node: str, doing: str) -> Proposal:
    """The write without this node's directory, also where it is not listed; ValueError for the primary's own."""
    if same_node(record.primary, node):
        raise ValueError(f"{node} is the record's primary")
    kept: tuple[Successor, ...] = tuple(one for one in record.successors if not same_node(one.node, node))
    return rewritten(record, kept, writer=node, reason=f"{doing} of {node}")


# --- the source and the room for a copy -------------------------------------------------------


def source_objection(source: Source, history: Ancestry) -> Objection | None:
    """Why what answers at the primary's address is not to be copied; None if it is."""
    if source.in_recovery:
        return Objection(
            "what answers at the primary's address (master_ip) is a standby: see where the address is", passing=True
        )
    if source.system != history.system:
        return Objection(f"what answers at the primary's address is another database system ({source.system})")
    if source.timeline != history.current:
        return Objection(
            f"what answers at the primary's address is on timeline {source.timeline}, the cluster's primary on "
            f"{history.current}: wait until the promotion is complete",
            passing=True,
        )
    return None


def no_room(folder: Folder, source: Source) -> str:
    """Why a base backup cannot be made; empty if it can, as far as that is known."""
    if folder.is_mount_point:
        return (
            f"{folder.path} is a mount point, which cannot be put aside: set pgdata to a directory below it, or run "
            "expgsql repair"
        )
    if folder.occupied:
        return (
            f"the primary has tablespaces whose places are not empty here: {', '.join(folder.occupied)}; move them "
            "away (mv), then run expgsql rebuild again"
        )
    needed = (source.size or 0) + MARGIN
    if source.size is not None and folder.free < needed:
        return (
            f"a new copy beside {folder.path} needs {size(needed)}, and {size(folder.free)} are free: make room"
            f"{_removable(folder)}, or run expgsql repair, which copies only what differs"
        )
    return ""


def _removable(folder: Folder) -> str:
    if folder.olds:
        return f" (rm -rf {' '.join(folder.olds)})"
    return f" (or give up the old data: rm -rf {folder.path})" if folder.present else ""


def size(count: int) -> str:
    """Bytes, for people."""
    for unit, shift in (("GB", 30), ("MB", 20)):
        if count >= 1 << shift:
            return f"{count / (1 << shift):.1f} {unit}"
    return f"{count} bytes"
