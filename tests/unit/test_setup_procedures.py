# SPDX-License-Identifier: GPL-2.0-or-later
"""Setting up, step by step, on fakes: refusals, dry runs, and calls that were killed and are repeated."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from tests.fake_authority import FakeAuthority, FakeKeeper
from tests.fake_operator import Answer, FakeCluster, a_deployment, a_node
from tests.fakes import Killed

from expgsql_ra.deployment import Deployment
from expgsql_ra.errors import CommandFailed, DeadlineExceeded, Refused
from expgsql_ra.procedures import setup_cluster, setup_nodes, setup_server
from expgsql_ra.procedures.setup_nodes import Members
from expgsql_ra.record import Prepared, Unreachable
from expgsql_ra.rules import setup_server as rules
from expgsql_ra.setup_files import read_setup
from expgsql_ra.setup_model import Setup
from expgsql_ra.setup_site import Work
from expgsql_ra.values import RepMode

GOLDEN = Path(__file__).parents[1] / "golden/setup"
EMPTY = "<cib><configuration><crm_config/><resources/><constraints/></configuration></cib>"
FENCED = EMPTY.replace("<resources/>", '<resources><primitive id="f" class="stonith" type="fence_x"/></resources>')
HBA = "/etc/hba.conf"


def a_setup(name: str = "three.toml", old: str = "", new: str = "") -> Setup:
    """One of the examples, changed."""
    text = (GOLDEN / name).read_text(encoding="utf-8")
    return read_setup(text.replace(old, new) if old else text, is_toml=name.endswith(".toml"))


# --- the cluster's configuration ---------------------------------------------------------------


class FakeConfiguration:
    """A CIB; pushed as a whole."""

    def __init__(self, cib: str = EMPTY) -> None:
        self.cib = cib
        self.pushed = 0
        self.complaint = ""
        self.old_complaint = ""
        self.agents: Callable[[str], bool] = lambda _name: True

    def text(self) -> str:
        """As it is."""
        return self.cib

    def push(self, before: str, after: str) -> None:
        """Only onto what was read."""
        assert before == self.cib
        self.cib = after
        self.pushed += 1

    def complaints(self, document: str) -> str:
        """What the test said."""
        assert document.startswith("<cib")
        return self.old_complaint if document == self.cib else self.complaint

    def has_agent(self, name: str) -> bool:
        """What the test said."""
        return self.agents(name)


def applied(setup: Setup, cluster: FakeConfiguration, arbiter: setup_cluster.Arbiter | None = None) -> list[str]:
    """Plan and apply; what was said."""
    console = FakeCluster().console
    made = setup_cluster.plan(setup, cluster)
    setup_cluster.print_plan(made, str, console)
    setup_cluster.apply(setup, made, cluster, arbiter, console)
    return console.said


def test_applied_as_one_transaction_and_again_without_any() -> None:
    cluster = FakeConfiguration()
    assert applied(a_setup(), cluster)[-1].endswith("differences as one transaction")
    assert applied(a_setup(), cluster)[-1] == "the cluster is configured as the file says: nothing to do"
    assert cluster.pushed == 1


@pytest.mark.parametrize(
    ("setup", "cluster", "why"),
    [
        (a_setup(old=', "node3"', new=""), FakeConfiguration(), "two nodes without an arbiter"),
        (a_setup("two.toml"), FakeConfiguration(), "no fence device is configured"),
        (
            a_setup(),
            FakeConfiguration(EMPTY.replace("<resources/>", '<resources><group id="pgsql"/></resources>')),
            "is a",
        ),
    ],
)
def test_what_is_refused_changes_nothing(setup: Setup, cluster: FakeConfiguration, why: str) -> None:
    before = cluster.cib
    with pytest.raises(Refused, match=why):
        applied(setup, cluster)
    assert cluster.cib == before


def test_what_pacemaker_would_not_take_is_not_pushed() -> None:
    cluster = FakeConfiguration()
    cluster.complaint = "element nvpair: id redefined"
    with pytest.raises(Refused, match="id redefined"):
        applied(a_setup(), cluster)
    assert cluster.pushed == 0


def test_what_pacemaker_says_anyway_is_in_nobodys_way() -> None:
    cluster = FakeConfiguration()
    cluster.complaint = cluster.old_complaint = "no fencing"
    assert applied(a_setup(), cluster)[-1].endswith("one transaction")


def test_a_missing_agent_is_told_before() -> None:
    cluster = FakeConfiguration()
    cluster.agents = lambda name: "lvsdr" not in name
    with pytest.raises(Refused, match="ocf:heartbeat:lvsdr is not installed on this node"):
        applied(a_setup("muti_with_lvs.ini"), cluster)


def test_the_plan_shows_the_commands_and_what_is_left_alone() -> None:
    cluster = FakeConfiguration()
    applied(a_setup(), cluster)
    cluster.cib = cluster.cib.replace("</constraints>", '<rsc_location id="x" rsc="pgsql"/></constraints>')
    console = FakeCluster().console
    setup_cluster.print_plan(setup_cluster.plan(a_setup(), cluster), lambda: "pcs ...\n", console)
    assert console.said[0].endswith("no difference")
    assert "constraint x on pgsql is not from this file" in console.said[1]
    assert console.said[-1].endswith("by hand:\npcs ...")


def an_arbiter(keeper: FakeKeeper, primary: str = "node1") -> setup_cluster.Arbiter:
    """The record of the two-node example."""
    authority = FakeAuthority(keeper, "pgsql_cls1", 15)
    return setup_cluster.Arbiter(authority, authority, lambda _: Prepared(()), primary, "root@node1")


def test_the_record_is_made_before_the_configuration() -> None:
    keeper, cluster = FakeKeeper(), FakeConfiguration(FENCED)
    said = applied(a_setup("two.toml"), cluster, an_arbiter(keeper))
    assert "arbiter: the record pgsql_cls1 is made, with node1 as primary" in said
    said = applied(a_setup("two.toml"), cluster, an_arbiter(keeper, "node2"))
    assert "arbiter: the record pgsql_cls1 names node1 as primary; left as it is" in said
    assert cluster.pushed == 1


def test_without_its_arbiter_nothing_is_configured() -> None:
    keeper, cluster = FakeKeeper(), FakeConfiguration(FENCED)
    keeper.down = True
    with pytest.raises(Refused, match="nothing was changed"):
        applied(a_setup("two.toml"), cluster, an_arbiter(keeper))
    assert cluster.pushed == 0


def test_without_rights_for_the_nodes_nothing_is_configured() -> None:
    keeper, cluster = FakeKeeper(), FakeConfiguration(FENCED)
    refusing = an_arbiter(keeper)._replace(admit=lambda _: Unreachable('role "expgsql" does not exist'))
    with pytest.raises(Refused, match=r'"expgsql" does not exist; no record was made'):
        applied(a_setup("two.toml"), cluster, refusing)
    assert (keeper.records, cluster.pushed) == ({}, 0)
    elsewhere = an_arbiter(keeper)._replace(as_node=FakeAuthority(FakeKeeper(), "pgsql_cls1", 15))
    with pytest.raises(Refused, match="the nodes cannot use the record"):
        applied(a_setup("two.toml"), cluster, elsewhere)
    assert cluster.pushed == 0


# --- servers -----------------------------------------------------------------------------------


class FakeServer:
    """A server and its files; every effect can be the last one."""

    def __init__(self, setup: Setup, *, state: str = "stopped", data: str = "1") -> None:
        self.setup = setup
        self.state = state
        self.data = data
        self.copy = ""
        self.files: dict[str, str] = {setup.config: "a = 1\n", HBA: "local all all peer\n"}
        self.roles = ""
        self.waiting = ""
        self.done: list[str] = []
        self.kill_after: int | None = None

    def _happened(self, effect: str) -> None:
        self.done.append(effect)
        if self.kill_after is not None and len(self.done) >= self.kill_after:
            raise Killed(effect)

    def major(self) -> int:
        """The newest."""
        return 17

    def has_data(self) -> bool:
        """Anything."""
        return bool(self.data)

    def hba_file(self) -> str:
        """The one."""
        return HBA

    def read(self, path: str) -> str | None:
        """From memory."""
        return self.files.get(path)

    def write(self, path: str, content: str) -> None:
        """Whole."""
        self.files[path] = content
        self._happened(f"write {path.rpartition('/')[2]}")

    def role(self) -> str:
        """As the test said."""
        return self.state

    def ask(self, statement: str) -> str:
        """Roles and settings."""
        if statement.startswith("select coalesce"):
            return f"{self.waiting}\n"
        if statement.startswith("select"):
            return self.roles
        password = rules.password_in(self.files[self.setup.replication.passfile], "replication")
        if statement.startswith("CREATE"):
            self.roles = f"replication\tt\tf\t{rules.verifier(password, b'x')}\tf\n"
        elif statement.startswith("GRANT"):
            self.roles = self.roles.replace("\tf\n", "\tt\n")
        self._happened(statement.partition(" ")[0])
        return ""

    def control(self, action: str) -> None:
        """It obeys."""
        self.state = "primary" if action == "start" else self.state
        self.waiting = "" if action == "restart" else self.waiting
        self._happened(action)

    def random(self) -> bytes:
        """Not very."""
        return b"0" * 16

    def system(self) -> str:
        """Of the data."""
        return self.data

    def system_of(self, host: str) -> str:
        """The source's."""
        assert rules.password_in(self.files[self.setup.replication.passfile], "replication"), host
        return "7"

    def copy_from(self, host: str, within: float) -> None:
        """Beside the data."""
        self.copy = "7"
        self._happened(f"copy {host} {within:.0f}")

    def put_in_place(self) -> str:
        """In its place."""
        kept, self.data = (f"old-{self.data}" if self.data else ""), self.copy
        self._happened("put in place")
        return kept


class Bench(NamedTuple):
    """A server to set up, and what was said."""

    server: FakeServer
    cluster: FakeCluster

    def work(self, *, managed: bool = False, dry_run: bool = False, node: str = "node1") -> Work:
        """What a procedure is given."""
        return Work(self.server, self.cluster, self.cluster.console, node, managed, dry_run)

    @property
    def said(self) -> str:
        """Everything."""
        return "\n".join([*self.cluster.console.said, *self.cluster.console.warned])


def a_bench(setup: Setup, **server: str) -> Bench:
    """A node of a set-up."""
    return Bench(FakeServer(setup, **server), FakeCluster())


def test_the_first_server_is_set_up_and_then_left_alone() -> None:
    setup = a_setup()
    bench = a_bench(setup)
    setup_server.prepare_primary(setup, bench.work())
    files = ["write .pgpass", "write expgsql-setup.conf", "write postgresql.conf", "write hba.conf"]
    assert bench.server.done == [*files, "start", "CREATE", "GRANT"]
    assert len(rules.password_in(bench.server.files[setup.replication.passfile], "replication")) > 20
    setup_server.prepare_primary(setup, bench.work())
    assert len(bench.server.done) == 7
    assert bench.said.endswith("nothing to do")


@pytest.mark.parametrize("kill_after", range(1, 8))
def test_a_killed_call_is_completed_by_the_next(kill_after: int) -> None:
    setup = a_setup()
    bench = a_bench(setup)
    bench.server.kill_after = kill_after
    with pytest.raises(Killed):
        setup_server.prepare_primary(setup, bench.work())
    bench.server.kill_after = None
    setup_server.prepare_primary(setup, bench.work())
    password = rules.password_in(bench.server.files[setup.replication.passfile], "replication")
    assert rules.fits(bench.server.roles.split("\t")[3], password)
    assert len(bench.server.done) == 7


def test_a_dry_run_writes_nothing_and_tells_no_password() -> None:
    setup = a_setup(old="[addresses]", new='[replication]\npassword = "se-cret"\n[addresses]')
    for state in ("stopped", "primary"):
        bench = a_bench(setup, state=state)
        setup_server.prepare_primary(setup, bench.work(dry_run=True))
        assert bench.server.done == []
        assert "would write" in bench.said
        assert "se-cret" not in bench.said


def test_a_setting_that_needs_a_restart_is_asked_for() -> None:
    setup = a_setup()
    bench = a_bench(setup, state="primary")
    bench.server.waiting = "wal_log_hints"
    setup_server.prepare_primary(setup, bench.work())
    assert bench.cluster.console.asked == [
        "wal_log_hints need a restart of the server on node1, which ends its sessions. Now?"
    ]
    assert "restart" in bench.server.done


def test_a_server_that_pacemaker_runs_is_only_told_to_read_its_settings() -> None:
    setup = a_setup()
    bench = a_bench(setup, state="standby")
    bench.server.waiting = "wal_log_hints"
    setup_server.prepare_primary(setup, bench.work(managed=True))
    assert bench.server.done[-1] == "reload"
    assert "in force after the next start" in bench.said
    assert "roles come with the primary's data" in bench.said
    stopped = a_bench(setup)
    setup_server.prepare_primary(setup, stopped.work(managed=True))
    assert "start" not in stopped.server.done
    assert "Pacemaker keeps the server of this node stopped" in stopped.said


def test_settings_that_need_no_restart_are_read() -> None:
    setup = a_setup()
    bench = a_bench(setup, state="primary")
    setup_server.prepare_primary(setup, bench.work())
    assert "reload" in bench.server.done


def test_without_data_or_configuration_it_says_what_to_do() -> None:
    setup = a_setup()
    with pytest.raises(Refused, match="make the database first"):
        setup_server.prepare_primary(setup, a_bench(setup, data="").work())
    bench = a_bench(setup)
    del bench.server.files[setup.config]
    with pytest.raises(Refused, match=r"correct \[postgresql\] config"):
        setup_server.prepare_primary(setup, bench.work())


def test_the_arbiters_password_goes_into_the_file_too() -> None:
    setup = a_setup("two.toml", "ttl = 15", 'ttl = 15\npassword = "x"')
    bench = a_bench(setup)
    setup_server.prepare_primary(setup, bench.work())
    assert "*:*:*:expgsql:x" in bench.server.files[setup.replication.passfile].splitlines()
    nobody = a_setup("two.toml", " user=expgsql", "")._replace(arbiter=setup.arbiter.replace(conninfo="host=a"))
    bench = a_bench(nobody)
    setup_server.prepare_primary(nobody, bench.work())
    assert "conninfo names no user" in bench.said


def a_copying_bench(setup: Setup, **server: str) -> Bench:
    """A node that gets the password from node1."""
    bench = a_bench(setup, **server)
    bench.cluster.answers["node1$ cat"] = Answer(out="*:*:*:replication:secret\n")
    return bench


def test_a_standby_is_a_copy_and_then_left_alone() -> None:
    setup = a_setup()
    bench = a_copying_bench(setup)
    setup_server.make_standby(setup, bench.work(node="node2"), "node1", 60)
    written = ["write expgsql-setup.conf", "write postgresql.conf", "write hba.conf"]
    assert bench.server.done == ["write .pgpass", "copy node1 60", "put in place", *written]
    assert "Move it aside" in bench.cluster.console.asked[0]
    setup_server.make_standby(setup, bench.work(node="node2"), "node1", 60)
    assert len(bench.server.done) == 6
    assert bench.said.endswith("nothing to do")


@pytest.mark.parametrize("kill_after", range(1, 7))
def test_a_killed_copy_is_made_anew(kill_after: int) -> None:
    setup = a_setup()
    bench = a_copying_bench(setup, data="")
    bench.server.kill_after = kill_after
    with pytest.raises(Killed):
        setup_server.make_standby(setup, bench.work(node="node2"), "node1", 60)
    bench.server.kill_after = None
    setup_server.make_standby(setup, bench.work(node="node2"), "node1", 60)
    assert bench.server.data == "7"
    assert rules.INCLUDE in bench.server.files[setup.config]
    assert rules.HBA_BEGIN in bench.server.files[HBA]
    assert bench.cluster.console.asked == []


def test_a_dry_run_copies_nothing() -> None:
    setup = a_setup()
    bench = a_copying_bench(setup)
    setup_server.make_standby(setup, bench.work(node="node2", dry_run=True), "node1", 60)
    assert bench.server.done == []
    assert "would copy the data of node1" in bench.said


def test_data_is_not_moved_aside_without_a_yes() -> None:
    setup = a_setup()
    bench = a_copying_bench(setup)
    bench.cluster.console.agrees = False
    with pytest.raises(Refused):
        setup_server.make_standby(setup, bench.work(node="node2"), "node1", 60)
    assert bench.server.data == "1"


@pytest.mark.parametrize(
    ("managed", "node", "state", "answer", "why"),
    [
        (True, "node2", "stopped", "x", "expgsql rebuild node2"),
        (False, "node1", "stopped", "x", "is the node whose data is kept"),
        (False, "node2", "primary", "x", "stop it first"),
        (False, "node2", "stopped", "", "run expgsql setup postgres FILE on node1 first"),
    ],
)
def test_no_copy_where_it_would_do_harm(managed: bool, node: str, state: str, answer: str, why: str) -> None:
    setup = a_setup()
    bench = a_bench(setup, state=state)
    bench.cluster.answers["node1$ cat"] = Answer(code=1, out=answer)
    with pytest.raises(Refused, match=why):
        setup_server.make_standby(setup, bench.work(managed=managed, node=node), "node1", 60)
    assert bench.server.done == []


# --- nodes -------------------------------------------------------------------------------------

PCS = Members(has_pcs=True)


def without_node3(seen: Deployment) -> Deployment:
    """Two of the three."""
    return seen._replace(
        nodes=seen.nodes[:2],
        roles=seen.roles[:2],
        parameters=seen.parameters.replace(node_list=("node1", "node2")),
        view=seen.view._replace(nodes=("node1", "node2")),
    )


def a_small_cluster() -> FakeCluster:
    """Two nodes; a third comes up when pcs adds it, and its server when it is in the list."""
    whole = a_deployment()
    cluster = FakeCluster(without_node3(whole))

    def react(effect: str) -> None:
        if "pcs cluster node add" in effect:
            cluster.now = cluster.now._replace(nodes=whole.nodes)
        if "--set-parameter node_list" in effect:
            names = tuple(effect.partition("--parameter-value ")[2].split())
            cluster.now = cluster.now._replace(parameters=whole.parameters.replace(node_list=names))
        if effect == "maintenance off" and "node3" in cluster.now.parameters.node_list:
            cluster.now = cluster.now._replace(roles=whole.roles)

    cluster.reaction = react
    return cluster


def test_a_node_joins_without_a_restart() -> None:
    cluster = a_small_cluster()
    setup_nodes.add_node(cluster.site(), "node3", PCS._replace(address="192.0.2.3"))
    assert cluster.done == [
        "node1$ pcs cluster node add node3 addr=192.0.2.3 --start --enable",
        "property pgsql_CHANGING=node1 node2 node3",
        "maintenance on",
        "node1$ crm_resource --resource pgsql --set-parameter node_list --parameter-value node1 node2 node3",
        "refresh msPostgresql",
        "maintenance off",
        "property pgsql_CHANGING=",
    ]
    cluster.done.clear()
    setup_nodes.add_node(cluster.site(), "node3", PCS)
    assert cluster.done == []


def test_maintenance_ends_where_nothing_was_changed() -> None:
    cluster = a_small_cluster()
    cluster.answers["node1$ crm_resource"] = Answer(code=1, err="no")
    with pytest.raises(CommandFailed):
        setup_nodes.add_node(cluster.site(), "node3", PCS)
    assert cluster.done[-2:] == ["maintenance off", "property pgsql_CHANGING="]


@pytest.mark.parametrize("kill_after", range(1, 8))
def test_a_killed_change_is_finished_by_the_next_call(kill_after: int) -> None:
    cluster = a_small_cluster()
    cluster.kill_after = kill_after
    with pytest.raises(Killed):
        setup_nodes.add_node(cluster.site(), "node3", PCS)
    cluster.kill_after = None
    setup_nodes.add_node(cluster.site(), "node3", PCS)
    # Whoever ends maintenance has had the servers looked at since the last change.
    order = [one for one in cluster.done if one.startswith(("refresh", "maintenance off")) or "--set-" in one]
    assert order[-2:] == ["refresh msPostgresql", "maintenance off"]
    assert cluster.now.parameters.node_list == ("node1", "node2", "node3")
    assert cluster.now.setting("maintenance-mode") == "false"
    assert cluster.now.setting("pgsql_CHANGING") == ""


def test_servers_that_are_not_seen_again_keep_the_mode() -> None:
    cluster = a_small_cluster()
    react = cluster.reaction

    def forgetful(effect: str) -> None:
        react(effect)
        if effect.startswith("refresh"):
            cluster.now = cluster.now._replace(roles=cluster.now.roles[:1])

    cluster.reaction = forgetful
    with pytest.raises(DeadlineExceeded, match="still in maintenance mode"):
        setup_nodes.add_node(cluster.site(), "node3", PCS)
    assert cluster.now.setting("maintenance-mode") == "true"


def test_a_node_that_is_no_member_needs_pcs_or_a_hand() -> None:
    cluster = a_small_cluster()
    with pytest.raises(Refused, match="pcs is not installed"):
        setup_nodes.add_node(cluster.site(), "node3", Members(has_pcs=False))
    cluster.answers["node1$ pcs"] = Answer(code=1, err="not authorized")
    with pytest.raises(Refused, match="pcs host auth node3"):
        setup_nodes.add_node(cluster.site(), "node3", PCS)


def test_a_node_that_does_not_come_is_told() -> None:
    cluster = a_small_cluster()
    cluster.reaction = lambda _effect: None
    with pytest.raises(DeadlineExceeded, match="has not joined"):
        setup_nodes.add_node(cluster.site(), "node3", PCS)


def test_dry_runs_change_nothing() -> None:
    cluster = a_small_cluster()
    setup_nodes.add_node(cluster.site(dry_run=True), "node3", PCS)
    assert cluster.done == []
    whole = FakeCluster()
    setup_nodes.remove_node(whole.site(dry_run=True), "node3", PCS)
    assert whole.done == []


def a_leaving_cluster(**parameters: object) -> FakeCluster:
    """Three nodes, of which the third stops when it is told to."""
    cluster = FakeCluster(a_deployment())
    cluster.now = cluster.now._replace(parameters=cluster.now.parameters.replace(**parameters))

    def react(effect: str) -> None:
        if "crm_resource --ban" in effect:
            cluster.now = cluster.now._replace(roles=cluster.now.roles[:2])

    cluster.reaction = react
    return cluster


def test_a_node_leaves_and_nothing_of_it_stays() -> None:
    cluster = a_leaving_cluster(replication_slot_name="standby")
    setup_nodes.remove_node(cluster.site(), "node3", PCS)
    assert "stopped" in cluster.console.asked[0]
    assert cluster.done[0] == "node1$ crm_resource --ban --resource msPostgresql --node node3"
    assert any("--parameter-value node1 node2" in one for one in cluster.done)
    assert any("psql" in one for one in cluster.done)
    assert "slot_name = 'standby_node3'" in cluster.stdin[0]
    assert "node1$ pcs cluster node remove node3 --force" in cluster.done
    assert "attribute node3 pgsql-data-status= lasting" in cluster.done


def test_a_dead_node_leaves_too() -> None:
    seen = a_deployment("node1", "node2", a_node("node3", online=False))
    cluster = FakeCluster(seen)
    setup_nodes.remove_node(cluster.site(), "node3", PCS)
    assert not any("--ban" in one for one in cluster.done)
    assert "node1$ pcs cluster node remove node3 --force --skip-offline" in cluster.done


def test_what_could_not_be_done_is_told() -> None:
    cluster = a_leaving_cluster(replication_slot_name="standby")
    cluster.answers["node1$ runuser"] = Answer(code=1, err="active")
    setup_nodes.remove_node(cluster.site(), "node3", Members(has_pcs=False))
    assert "is still there" in cluster.console.warned[0]
    assert "crm_node --force --remove node3" in cluster.console.warned[1]


LISTED = "1 node1 member\n2 node2 member\n3 node3 lost\n"
FORGET = "crm_node --force --remove node3"


def test_a_request_to_forget_a_node_that_was_lost_is_made_again() -> None:
    cluster = a_leaving_cluster()
    cluster.answers["node2$ crm_node --list"] = Answer(out=LISTED)
    asked: list[str] = []
    react = cluster.reaction

    def forgets_the_second_time(effect: str) -> None:
        react(effect)
        if FORGET in effect:
            asked.append(effect)
        if len(asked) == 2:
            cluster.answers.pop("node2$ crm_node --list", None)

    cluster.reaction = forgets_the_second_time
    setup_nodes.remove_node(cluster.site(), "node3", PCS)
    assert asked == [f"node2$ {FORGET}"] * 2
    assert cluster.done.index("node1$ pcs cluster node remove node3 --force") < cluster.done.index(asked[0])
    assert cluster.console.warned == []


@pytest.mark.parametrize("answer", [Answer(out=LISTED), Answer(code=1)], ids=["remembered", "cannot tell"])
def test_a_node_that_is_not_forgotten_is_told(answer: Answer) -> None:
    cluster = a_leaving_cluster()
    cluster.answers["node1$ crm_node --list"] = answer
    setup_nodes.remove_node(cluster.site(), "node3", PCS)
    assert "Pacemaker still knows node3" in cluster.console.warned[0]


def test_the_last_standby_is_not_let_go_silently() -> None:
    cluster = FakeCluster(without_node3(a_deployment()))
    # with rep_mode=sync the parameters would need it: it is not let go at all
    cluster.now = cluster.now._replace(parameters=cluster.now.parameters.replace(rep_mode=RepMode.ASYNC))
    cluster.reaction = lambda effect: (
        setattr(cluster, "now", cluster.now._replace(roles=cluster.now.roles[:1])) if "--ban" in effect else None
    )
    setup_nodes.remove_node(cluster.site(), "node2", Members(has_pcs=True, keep=True))
    assert "no standby" in cluster.console.warned[0]
    assert not any("pcs cluster" in one for one in cluster.done)


@pytest.mark.parametrize(
    ("node", "change", "why"),
    [
        ("node1", {}, "call expgsql switchover first"),
        ("node2", {"view": "node2"}, "cannot remove itself"),
        ("node3", {"roles": ()}, "has no primary just now"),
        ("node3", {"properties": (("maintenance-mode", "true"),)}, "in maintenance mode"),
    ],
)
def test_nobody_is_removed_at_a_bad_time(node: str, change: dict[str, object], why: str) -> None:
    seen = a_deployment(me=str(change.pop("view", "node1")))
    cluster = FakeCluster(seen._replace(**change))  # type: ignore[arg-type]
    with pytest.raises(Refused, match=why):
        setup_nodes.remove_node(cluster.site(), node, PCS)
    assert cluster.done == []


@pytest.mark.parametrize(("listed", "count"), [(("node1", "node3"), 1), (("node1", "node2", "node3"), 2)])
def test_nobody_is_removed_whom_the_parameters_need(listed: tuple[str, ...], count: int) -> None:
    cluster = a_leaving_cluster(node_list=listed, sync_standby_count=count, rep_mode=RepMode.SYNC)
    with pytest.raises(Refused, match=r"sync_standby_count=.*nothing was changed.*add-node.*have its name"):
        setup_nodes.remove_node(cluster.site(), "node3", PCS)
    assert (cluster.done, cluster.console.asked) == ([], [])


def test_nobody_is_removed_twice() -> None:
    cluster = FakeCluster()
    setup_nodes.remove_node(cluster.site(), "node9", PCS)
    assert cluster.done == []
    assert cluster.console.said[-1].endswith("nothing to do")


def test_a_server_that_does_not_stop_is_told() -> None:
    cluster = FakeCluster()
    with pytest.raises(DeadlineExceeded, match="has not stopped"):
        setup_nodes.remove_node(cluster.site(), "node3", PCS)
