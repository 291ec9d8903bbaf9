"""Following a page of the manual as a user does: its commands in their order, typed where the page says."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.lab.bare import CHECKOUT, BareMachine, keep_journals
from tests.lab.cib import parse_cib
from tests.lab.fixtures import ARTIFACTS
from tests.lab.membership import in_parallel
from tests.lab.places import ARBITER
from tests.lab.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]
INDENT = "    "
NODE = r"node\d+"
# The others ask whoever is at the other end of a pipe, too, and throw away what a terminal's user types ahead.
AT_TERMINAL = "expgsql "
PATIENCE = 400.0
WAIT_SECONDS = 120.0
PASSWORD = "known-to-the-nodes"
ANSWERS = {
    "apt install": "y\n",
    "passwd hacluster": f"{PASSWORD}\n{PASSWORD}\n",
    "pcs host auth": f"hacluster\n{PASSWORD}\n",
    "expgsql setup standby": "y\n",
    "expgsql setup apply": "y\n",
    "expgsql setup add-node": "y\n",
    "expgsql setup remove-node": "y\n",
}
FILE = "expgsql.toml"


@dataclass(frozen=True)
class Line:
    """A command, and the nodes that the remark behind it begins with."""

    command: str
    where: tuple[str, ...]


def blocks(page: str, heading: str) -> list[list[Line]]:
    """Return the blocks of commands under a heading, up to the next heading."""
    return list(_blocks(_section(page, heading)))


def texts(page: str, heading: str) -> list[str]:
    """Return the same blocks as they stand there: commands of several lines, or parts of files."""
    found: list[list[str]] = [[]]
    for line in _section(page, heading).splitlines():
        if line.startswith(INDENT):
            found[-1].append(line.removeprefix(INDENT))
        elif found[-1]:
            found.append([])
    return ["\n".join(block) for block in found if block]


def _section(page: str, heading: str) -> str:
    text = (REPOSITORY / page).read_text(encoding="utf-8")
    _, found, rest = text.partition(f"\n## {heading}\n")
    assert found, f"{page} has no heading {heading!r}"
    return rest.partition("\n## ")[0]


def _blocks(text: str) -> Iterator[list[Line]]:
    block: list[Line] = []
    for line in [*text.splitlines(), ""]:
        if line.startswith(INDENT):
            block.append(_line(line))
        elif block:
            yield block
            block = []


def _line(text: str) -> Line:
    command, _, remark = text.strip().partition(" # ")
    named = re.match(rf"{NODE}(?:, {NODE})*", remark.strip())
    return Line(command.strip(), tuple(re.findall(NODE, named[0])) if named else ())


@dataclass(frozen=True)
class User:
    """Who types. `answers` has what is typed at a prompt, by the first words of the command that asks."""

    machines: Mapping[str, BareMachine]
    folder: str = CHECKOUT
    answers: Mapping[str, str] = field(default_factory=lambda: ANSWERS)

    def type(self, command: str, where: str, *, code: int = 0) -> str:
        """Type a command and read what it says; it has to end with that code."""
        answer = next((text for words, text in self.answers.items() if command.startswith(words)), "")
        path = "PATH=/opt/expgsql/bin:$PATH"
        typed = command
        if answer and command.startswith(AT_TERMINAL):
            typed = f"script --quiet --return --echo never --command {shlex.quote(command)} /dev/null"
        words = f"cd {self.folder}; export {path} DEBIAN_FRONTEND=noninteractive; {typed}"
        done = self.machines[where].run(words, stdin=answer, timeout=PATIENCE)
        said = (done.stdout + done.stderr).replace("\r\n", "\n")
        print(f"[root@{where}]# {command}\n{said}", flush=True)
        if done.rc != code:
            raise AssertionError(f"{command} on {where}: {done.rc}\n{said}\n{self.evidence()}")
        return said

    def evidence(self) -> str:
        """Where the machines' journals are kept for whoever looks into a failure."""
        lab = next(iter(self.machines.values())).places.lab
        return f"evidence: {keep_journals(self.machines.values(), ARTIFACTS / f'manual-{lab}')}"

    def edit(self, file: str, where: str, changes: Mapping[str, str]) -> None:
        """Put something else in the place of what each pattern matches."""
        path = f"{self.folder}/{file}"
        text = self.machines[where].read(path)
        for pattern, new in changes.items():
            text, count = re.subn(pattern, lambda _, new=new: new, text)  # type: ignore[misc]
            assert count == 1, f"{file} has {count} times {pattern}"
        self.machines[where].write(path, text, mode=0o600)

    def sql(self, where: str, statement: str) -> str:
        """Say something to the server there, as the user that runs it."""
        return self.type(f"su - postgres -c {shlex.quote(f'psql -AtXc {shlex.quote(statement)}')}", where).strip()


@dataclass(frozen=True)
class Site:
    """A cluster that a user has made, and what its commands tell of it."""

    user: User
    version: str

    def shown(self, on: str) -> dict[str, Any]:
        """``expgsql status``, as asked on a node."""
        done = self.user.machines[on].run("/opt/expgsql/bin/expgsql status --json")
        found: dict[str, Any] = (
            json.loads(done.stdout) if done.stdout else {"primary": "", "healthy": False, "nodes": []}
        )
        return found

    def told(self, on: str) -> str:
        """``cls_status``, whatever its exit code."""
        return self.user.machines[on].run("/opt/expgsql/bin/cls_status").stdout

    def wait_for(self, condition: Callable[[], object], *, what: str) -> None:
        """Wait until it is so; else say what the cluster looked like."""
        wait_until(condition, within=WAIT_SECONDS, what=what, every=0.5, seen=self._seen)

    def wait_healthy(self, on: str, primary: str) -> None:
        """Wait until nothing is missing, with that node as primary."""
        self.wait_for(lambda: (self.shown(on)["healthy"], self.shown(on)["primary"]) == (True, primary), what="health")

    def _seen(self) -> str:
        on = next(name for name, one in self.user.machines.items() if one.is_on)
        return f"{self.told(on)}\n{self.user.evidence()}"

    def data_status(self, on: str) -> dict[str, str]:
        """How fresh the data of each node is, as the agent has marked it."""
        cib = parse_cib(self.user.machines[on].run("cibadmin --query").check().stdout)
        return {name: node.permanent.get("pgsql-data-status", "") for name, node in cib.nodes.items()}

    def primary_of_record(self, on: str) -> str:
        """Who was made primary last, on top of which timeline."""
        return self.user.type("crm_attribute --query --quiet --type crm_config --name pgsql_REPL_INFO", on).strip()

    def failures(self, node: str) -> int:
        """How often the database has failed there."""
        done = self.user.machines[node].run(f"crm_failcount --query --resource pgsql --node {node}")
        return int(re.search(r"value=(\d+)", done.stdout)[1])  # type: ignore[index]

    def follower(self, primary: str) -> str:
        """Which standby commits of the server there wait for, as itself says; empty if nobody, or no answer."""
        ask = "select application_name from pg_stat_replication where sync_state = 'sync' and not pg_is_in_recovery()"
        return self.user.machines[primary].run(f'su - postgres -c "psql -AtXc \\"{ask}\\""').stdout.strip()

    def synchronous(self, on: str) -> str:
        """Whose copy commits wait for, and who may succeed; empty if nobody."""
        return next((node for node, status in self.data_status(on).items() if status == "STREAMING|SYNC"), "")

    def successor(self, on: str) -> str:
        """The same, waited for: marks follow a monitor behind."""
        self.wait_for(lambda: self.synchronous(on), what="a successor")
        return self.synchronous(on)

    def servers(self) -> dict[str, str]:
        """The first processes of all servers."""
        pid = f"head -n 1 /var/lib/postgresql/{self.version}/main/postmaster.pid 2>/dev/null"
        return {name: one.run(pid).stdout.strip() for name, one in self.user.machines.items()}

    def fail_over(self, primary: str, seen_from: str) -> str:
        """Kill the primary's server as often as it takes to have another node succeed it; which."""
        for kills in (1, 2):
            before = self.servers()[primary]
            self.user.type("killall postgres", primary)
            self.wait_for(lambda: self.failures(primary) == kills, what=f"fail-count={kills}")  # noqa: B023
            self.wait_for(lambda: self.servers()[primary] not in {"", before}, what="another server")  # noqa: B023
            # a kill in the middle of the restart would be another story
            self.wait_for(lambda: self.shown(primary)["primary"] == primary, what=f"{primary} to be promoted again")
            self.wait_for(lambda: self.synchronous(primary) == self.follower(primary) != "", what="a successor")
        heir = self.synchronous(primary)
        self.user.type("killall postgres", primary)
        self.wait_for(lambda: self.shown(seen_from)["primary"] == heir, what=f"{heir} to be the primary")
        self.wait_for(lambda: self.data_status(seen_from)[primary] == "DISCONNECT", what=f"{primary} to be out")
        return heir

    # A table of what was said, to be found again

    def write(self, primary: str, text: str) -> None:
        """Commit a line through the server there."""
        self.user.sql(primary, f"create table if not exists said (line text); insert into said values ('{text}')")

    def say_alone(self, node: str, text: str) -> None:
        """Write a line that no standby gets: the server there waits for one in vain."""
        line = f"insert into said values ('{text}')"
        self.user.machines[node].run("timeout 3 su - postgres -c 'psql -qX'", stdin=line)

    def reads(self, node: str) -> list[str]:
        """Return the lines that a server has."""
        return self.user.sql(node, "select line from said order by ctid").splitlines()


INSTALL = blocks("README.md", "Install")[0]
EVERYWHERE, CLUSTER, DATABASE = blocks("README.md", "From bare machines to a cluster")
SERVER = INSTALL[0].command.split()[2:]


@dataclass(frozen=True)
class Reader:
    """Goes from machines to a cluster, as the README has it; `replaced` is what stands for its examples."""

    user: User
    nodes: Sequence[str]
    edits: Mapping[str, str]
    replaced: Mapping[str, str] = field(default_factory=dict)

    def follow(self) -> None:
        """Type everything."""
        in_parallel(self._prepare, [one for name, one in self.user.machines.items() if name != ARBITER])
        for line in CLUSTER:
            self._join(line.command, self.nodes[0])
        for line in DATABASE:
            for node in [one for one in line.where if one in self.nodes]:
                self._type(line.command, node)

    def _type(self, command: str, where: str) -> str:
        for old, new in self.replaced.items():
            command = command.replace(old, new)
        return self.user.type(command, where)

    def _prepare(self, machine: BareMachine) -> None:
        for line in [*INSTALL, *EVERYWHERE]:
            self._type(line.command, machine.name)

    def _join(self, command: str, first: str) -> None:
        said = self._type(command, first)
        if command.startswith("expgsql setup example"):
            self.user.edit(FILE, first, self.edits)
            for other in self.nodes[1:]:
                self._type(f"scp -p {FILE} {other}:{CHECKOUT}/", first)
        if command.startswith("expgsql setup corosync"):
            self._type(said.splitlines()[0], first)
