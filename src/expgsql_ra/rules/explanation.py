# SPDX-License-Identifier: GPL-2.0-or-later
"""Why a node is or is not primary, promotable, streaming, and what would have to change.

Nothing is decided here: the rules that the agent goes by are asked with the facts that each node told, and their
reasons are handed on.
"""

from __future__ import annotations

from typing import NamedTuple

from expgsql_ra.deployment import Deployment, NodeFacts
from expgsql_ra.overview import Overview
from expgsql_ra.record import Successor, Unreachable
from expgsql_ra.repairs import Mark
from expgsql_ra.rules import divergence, election, health, promotion, replication, succession
from expgsql_ra.rules.promise import goes_by_record
from expgsql_ra.rules.replication import Settings
from expgsql_ra.snapshot import (
    ClusterView,
    LocalWal,
    Member,
    Orphans,
    Primary,
    Refusing,
    Sender,
    Server,
    Stalled,
    Starting,
    Unknown,
)
from expgsql_ra.values import Lsn, RepMode, Score, same_node

CLEAN = "shut down"
"""The state in which a primary's control file is left by a shutdown in order."""


BRING_BACK = "bring the arbiter back; if it is gone for good: expgsql arbiter override --help"
MINUS_INFINITY = "-INFINITY"


class Answer(NamedTuple):
    """Whether something is so, why, and what would change it."""

    holds: bool | None
    """None: there is no such question for this node, or nobody can tell."""
    reason: str
    change: str = ""
    """The command or the event that would change it; empty where nothing needs to change."""


class Explanation(NamedTuple):
    """One node's answers."""

    node: str
    primary: Answer
    promotable: Answer
    streams: Answer


def explain(overview: Overview, node: str) -> Explanation:
    """Why a node, which must be one of the members, is what it is."""
    return Explanation(node, is_primary(overview, node), is_promotable(overview, node), does_stream(overview, node))


# --- facts, as the agent's rules want them ----------------------------------------------------


def silent_server(facts: NodeFacts) -> Server:
    """A server that is there and did not tell of itself, in the agent's own terms."""
    match facts.server:
        case "starting":
            return Starting(0)
        case "stalled":
            return Stalled(0, True, facts.why)
        case "refusing":
            return Refusing(0, True, facts.why)
        case "orphans":
            return Orphans((0,))
        case _:
            return Unknown(facts.why)


def primary_of(facts: NodeFacts) -> Primary:
    """A primary that told of itself; the places of its walsenders are nobody's question here."""
    senders = tuple(Sender(one.name, one.state, one.sync_state, 0, one.flushed) for one in facts.peers)
    return Primary(0, 0, facts.timeline, facts.lsn or Lsn(0), facts.names, senders, ())


def local_wal(facts: NodeFacts) -> LocalWal:
    """What a node's data directory holds."""
    stopped = facts.server == "stopped"
    return LocalWal(
        system=facts.system,
        timeline=facts.timeline,
        forks=facts.forks,
        last_record=facts.checkpoint if stopped and facts.state == CLEAN else None,
        end=None if stopped else facts.lsn,
        reached=facts.lsn if stopped else None,
    )


def settings(seen: Deployment) -> Settings:
    """The parameters that replication depends on."""
    return Settings(seen.parameters.rep_mode, seen.parameters.sync_standby_count, seen.parameters.maximum_lag)


def server_trouble(facts: NodeFacts) -> str:
    """What monitor would find wrong with a server that told of itself; empty where nothing is."""
    if facts.answers:
        return ""
    if facts.server == "stopped":
        known = facts.state or facts.why
        return f"its server is stopped{f' ({known})' if known else ''}"
    return health.report(silent_server(facts), health.PATIENCE + 1, True).reason or ""


# --- primary ----------------------------------------------------------------------------------


def is_primary(overview: Overview, node: str) -> Answer:
    """Why it is the primary, or is not."""
    seen = overview.seen
    if same_node(seen.promoted, node):
        return _promoted(overview, node)
    if seen.promoted:
        able = is_promotable(overview, node).holds
        way = f"expgsql switchover {node}" if able else "it has to be promotable first: see the next line"
        return Answer(False, f"{seen.promoted} is the primary", way)
    return hindrance(overview, node) or banned(seen, node) or _next_primary(overview, node)


def _promoted(overview: Overview, node: str) -> Answer:
    trouble = server_trouble(overview.of(node))
    record = overview.record
    if trouble:
        return Answer(False, f"Pacemaker has promoted it, but {trouble}", "expgsql status names the failure")
    if record is not None and not same_node(record.primary, node):
        reason = f"Pacemaker has promoted it, but the record names {record.primary} (epoch {record.epoch})"
        return Answer(True, reason, "its next monitor stops it; then Pacemaker turns to the record's primary")
    by = f", and the record names it (epoch {record.epoch})" if record else ""
    return Answer(True, f"Pacemaker has promoted it{by}")


def _next_primary(overview: Overview, node: str) -> Answer:
    """Nobody is promoted: what a promotion of this node would answer."""
    if overview.record is not None and goes_by_record(overview.seen.parameters):
        return _by_record(overview, node)
    unknown = unreadable(overview)
    if unknown:
        return unknown
    view = overview.seen.view._replace(me=node)
    verdict = promotion.may_promote(view, overview.seen.parameters.rep_mode, local_wal(overview.of(node)))
    if isinstance(verdict, promotion.Refused):
        return Answer(False, verdict.reason, _way_out(overview, node))
    return Answer(False, f"it may be promoted: {verdict.reason}", "Pacemaker promotes it as soon as its score says so")


def unreadable(overview: Overview) -> Answer | None:
    """Where the record that promotions go by cannot be read: then nobody is promoted."""
    if not goes_by_record(overview.seen.parameters) or not isinstance(overview.reading, Unreachable):
        return None
    way = (
        BRING_BACK if overview.seen.parameters.enable_distlock else "see why the cluster cannot keep it: expgsql doctor"
    )
    return Answer(False, f"the record cannot be read, so nobody can take over: {overview.reading.why}", way)


def _by_record(overview: Overview, node: str) -> Answer:
    record = overview.record
    assert record is not None  # noqa: S101 - the caller has looked
    match succession.claim(record, _directory(overview, node)):
        case succession.NoClaim(reason):
            return Answer(False, reason, _way_out(overview, node))
        case succession.AwaitLease(by, seconds):
            return Answer(False, f"the lease of {by} lasts another {seconds:.0f} s", "nothing: it is waited for")
        case _:
            return Answer(False, "the record lets it take over", "Pacemaker promotes it as soon as its score says so")


def _directory(overview: Overview, node: str) -> Successor:
    """The node with its data directory's id: by its own word, or by what it last told the cluster."""
    kept, member = overview.of(node).kept, overview.seen.view.member(node)
    told = member.follows.directory if member and member.follows else ""
    return Successor(node, kept.directory if kept else told)


def _way_out(overview: Overview, node: str) -> str:
    """What an operator can do where nobody is promoted and this node may not be."""
    info, record = overview.seen.view.repl_info, overview.record
    wanted = record.primary if record else info.node if info else ""
    by_hand = "expgsql reset-master --primary NODE names a new one, which may lose commits"
    if not wanted or same_node(wanted, node):
        return by_hand
    return f"start {wanted}; if it is lost for good: {by_hand}"


# --- promotable -------------------------------------------------------------------------------


def is_promotable(overview: Overview, node: str) -> Answer:
    """Why Pacemaker may promote it, or may not."""
    if same_node(overview.seen.promoted, node):
        return Answer(True, "it is the primary")
    hindered = hindrance(overview, node) or banned(overview.seen, node)
    if hindered:
        return hindered
    member = overview.seen.view.member(node)
    assert member is not None  # noqa: S101 - hindrance has looked
    unknown = unreadable(overview)
    if unknown:
        return unknown
    if overview.primary:
        return _marked(overview, overview.primary, member)
    if overview.seen.promoted:
        return _told_by_marks(overview, member)
    return _scored(overview, member)


def _marked(overview: Overview, primary: NodeFacts, member: Member) -> Answer:
    """By what the primary makes of its standbys at each monitor."""
    server = primary_of(primary)
    succeed = frozenset(overview.record.nodes) if overview.record else frozenset()
    sender = replication.physical_sender(server.senders, member.name)
    found = replication.mark(sender, member.name in succeed, server.flushed, settings(overview.seen))
    if found.score == Score.CAN:
        return Answer(True, found.reason)
    if sender is None or sender.state != "streaming":
        return Answer(False, found.reason, f"expgsql why {member.name} says why it does not stream")
    if overview.seen.parameters.rep_mode is RepMode.ASYNC:
        return Answer(False, found.reason, "nothing: it catches up, or raise maximum_lag")
    return _not_waited_for(overview.seen, server, member, found.reason)


def _not_waited_for(seen: Deployment, server: Primary, member: Member, reason: str) -> Answer:
    view = seen.view._replace(me=seen.promoted)
    unfit = replication.unfit(server, view, member)
    if unfit:
        return Answer(
            False, f"{reason}: {unfit}", "nothing, if that lasts no longer than a minute; see its agent's log"
        )
    p = seen.parameters
    named = replication.names_in_force(server.names, view.members)
    choice = succession.choose(replication.candidates(server, view), named, p.sync_standby_count, p.strict_sync)
    if isinstance(choice, succession.Blocked):
        return Answer(False, f"{reason}: {choice.reason}", "bring the other standbys back")
    chosen = [one.node for one in choice.target]
    if any(same_node(one, member.name) for one in chosen):
        return Answer(False, reason, "nothing: the primary's next monitor goes on with it")
    why = f"{reason}: sync_standby_count={p.sync_standby_count}, and they wait for {', '.join(chosen)}"
    return Answer(False, why, "nothing: it takes the place of one that goes away; or raise sync_standby_count")


def _told_by_marks(overview: Overview, member: Member) -> Answer:
    """The primary could not be asked: by what it has told the cluster."""
    why = f"{overview.seen.promoted} could not be asked; it has last given it the score {member.score or 'none'}"
    able = member.score in {Score.CAN, Score.WON}
    return Answer(able, why, "" if able else f"expgsql why {member.name}, on {overview.seen.promoted}")


def _scored(overview: Overview, member: Member) -> Answer:
    """Without a primary: by what a standby makes of its own score."""
    seen = overview.seen
    view, wanted = seen.view._replace(me=member.name), seen.parameters.xlog_check_count
    won = election.first_start(view, wanted, wanted) if view.repl_info is None else None
    right = _right(overview, member.name)
    absences = 0 if _is_there(view, right) else wanted
    found = promotion.standby_score(view, seen.parameters.rep_mode, won, absences, wanted, right)
    score = found.score if isinstance(found, promotion.Give) else member.score
    able = score in {Score.CAN, Score.WON, Score.PRIMARY}
    return Answer(able, found.reason, "" if able else _way_out(overview, member.name))


def _is_there(view: ClusterView, right: promotion.Right | None) -> bool:
    name = (right.primary if right else None) or (view.repl_info.node if view.repl_info else "")
    member = view.member(name)
    return member is not None and member.online


def _right(overview: Overview, node: str) -> promotion.Right | None:
    """What the record gives this node; None where there is none to go by."""
    if not goes_by_record(overview.seen.parameters):
        return None
    record = overview.record
    if record is not None:
        return promotion.Right(record.primary, succession.is_successor(record, _directory(overview, node)))
    if overview.seen.parameters.enable_distlock:
        return promotion.Right(None, False, getattr(overview.reading, "why", ""))
    return None


# --- streaming --------------------------------------------------------------------------------


def does_stream(overview: Overview, node: str) -> Answer:
    """Why WAL arrives there from the primary, or does not."""
    seen = overview.seen
    if same_node(seen.promoted, node):
        return Answer(None, "it is the primary: the others stream from it")
    found = arrives(overview, node)
    if found is not None:
        return Answer(True, f"{found} from {seen.promoted or 'a primary'}")
    hindered = hindrance(overview, node)
    if hindered:
        return hindered
    if not seen.promoted:
        return Answer(False, "there is no primary to stream from", f"expgsql why {node}, line 'primary'")
    return _not_streaming(overview, node)


def arrives(overview: Overview, node: str) -> str | None:
    """How it is known that WAL arrives there; None if it does not, or nobody knows."""
    facts, primary = overview.of(node), overview.primary
    if primary:
        states = [one.state for one in primary.peers if same_node(one.name, node)]
        return "WAL arrives" if states == ["streaming"] else None
    if facts.answers:
        return "WAL arrives" if facts.server == "standby" and facts.receiver == "streaming" else None
    member = overview.seen.view.member(node)
    told = member is not None and member.online and (member.data_status or "").startswith("STREAMING|")
    return "by the cluster's attributes WAL arrives" if told else None


def _not_streaming(overview: Overview, node: str) -> Answer:
    facts = overview.of(node)
    if facts.server == "primary":
        return Answer(False, "its server accepts writes, and it is not the primary", f"expgsql standby on {node}")
    away = _diverged(overview, node)
    if away:
        return away
    trouble = server_trouble(facts)
    if trouble:
        return Answer(
            False, trouble, f"mend its cause (expgsql status, the log on {node}); then: expgsql cleanup {node}"
        )
    peers = [one.state for one in overview.primary.peers if same_node(one.name, node)] if overview.primary else []
    if peers:
        return Answer(False, f"it is connected and catches up ({', '.join(peers)})", "nothing: it is waited for")
    return Answer(
        False,
        f"its data lies on the primary's history, but it is not connected to {overview.seen.promoted}",
        f"PostgreSQL's log on {node} says why: network, pg_hba.conf, password; WAL is gone: expgsql rebuild {node}",
    )


def _diverged(overview: Overview, node: str) -> Answer | None:
    """Where its data cannot follow the primary any more."""
    facts, history = overview.of(node), overview.seen.view.history
    if not facts.system or not history:
        return None
    verdict = divergence.may_follow(local_wal(facts), history)
    if isinstance(verdict, divergence.Diverged):
        return Answer(False, verdict.reason, f"expgsql repair {node}")
    return None


# --- what stands in the way of everything -----------------------------------------------------


def hindrance(overview: Overview, node: str) -> Answer | None:
    """What keeps Pacemaker from running a server there at all; None if nothing does."""
    return _of_cluster(overview.seen) or _of_node(overview, node) or _of_server(overview, node)


def banned(seen: Deployment, node: str) -> Answer | None:
    """The location constraint that keeps Pacemaker away from a node; None if there is none."""
    for one in seen.constraints:
        if same_node(one.node, node) and one.score == MINUS_INFINITY:
            made_by_a_move = one.identity.startswith("cli-")
            way = (
                f"crm_resource --clear --resource {seen.subject}" if made_by_a_move else "remove it if it is not wanted"
            )
            return Answer(False, f"the constraint {one.identity} keeps it away", way)
    return None


def _of_cluster(seen: Deployment) -> Answer | None:
    if not seen.view.may_decide:
        return Answer(
            False, "this partition has no quorum: nothing is started or promoted", "bring the other nodes back"
        )
    if seen.disabled:
        return Answer(False, "the resource is disabled: somebody has stopped it", "expgsql start")
    return None


def _of_node(overview: Overview, node: str) -> Answer | None:
    found = overview.seen.node(node)
    if overview.seen.view.member(node) is None or found is None:
        return Answer(False, "node_list does not name it", "add it to the parameter node_list")
    if not found.online:
        return _away(overview.of(node), found.pending)
    if found.standby:
        return Answer(False, "it is in standby: Pacemaker runs nothing there", f"expgsql standby off {node}")
    return None


def _away(facts: NodeFacts, pending: bool) -> Answer:
    if pending:
        return Answer(False, "it joins the cluster just now", "nothing: it is waited for")
    why = f"it is offline ({facts.why})" if facts.why else "it is offline: the cluster does not run there"
    return Answer(False, why, "start the machine if it is down; then: expgsql start")


def _half_done(marks: tuple[str, ...], node: str) -> Answer:
    """A repair that was begun and has not ended; what another version of ours has marked is named as it is."""
    known = {mark.value: mark.meaning for mark in Mark}
    way = "rebuild" if Mark.REWINDING in marks else "repair"
    return Answer(
        False, "; ".join(known.get(mark, mark) for mark in marks), f"expgsql {way} {node}, unless one runs now"
    )


def _of_server(overview: Overview, node: str) -> Answer | None:
    marks = overview.of(node).marks
    if marks:
        return _half_done(marks, node)
    if overview.seen.role(node) != "Stopped":
        return None
    away = _diverged(overview, node) if overview.seen.promoted else None
    if away:
        return away
    failed = [
        one for one in overview.seen.failures if same_node(one.node, node) and one.resource == overview.seen.resource
    ]
    if failed:
        change = f"mend that (the log on {node} has more); then: expgsql cleanup {node}"
        return Answer(False, f"{failed[-1].operation} failed there: {failed[-1].reason or failed[-1].code}", change)
    if not overview.seen.managed:
        return Answer(False, "no server runs there, and Pacemaker leaves the resource alone", "expgsql maintenance off")
    return None
