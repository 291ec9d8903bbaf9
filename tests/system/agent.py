"""The agent's actions by hand, the way Pacemaker would run them, on a node of a lab."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.lab.configuration import RESOURCE
from tests.lab.node import Node

AGENT = "/usr/lib/ocf/resource.d/heartbeat/expgsql"
PREFIX = "ocf-exit-reason:"
# What the contract calls them (OCF Resource Agent API 1.1, "Exit status codes").
SUCCESS, GENERIC, ARGS, UNIMPLEMENTED, PERM, INSTALLED, NOT_RUNNING, PROMOTED = 0, 1, 2, 3, 4, 5, 7, 8


NONE: Mapping[str, str] = {}


@dataclass(frozen=True)
class Answer:
    """What an action answered."""

    code: int
    stdout: str
    stderr: str

    @property
    def reasons(self) -> list[str]:
        """The exit reasons."""
        return [line.removeprefix(PREFIX) for line in self.stderr.splitlines() if line.startswith(PREFIX)]


def _spelled(meta: str) -> str:
    return meta if meta == "crm_feature_set" else f"CRM_meta_{meta}"


@dataclass(frozen=True)
class Agent:
    """The agent with parameters, on a node."""

    node: Node
    parameters: Mapping[str, str]
    meta: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 20.0
    # A command to run it under.
    under: tuple[str, ...] = ()

    def act(self, action: str, parameters: Mapping[str, str] = NONE, *, level: int | None = None) -> Answer:
        """Run one action with some parameters changed; an empty value is passed as such."""
        environment = {
            "OCF_ROOT": "/usr/lib/ocf",
            "OCF_RA_VERSION_MAJOR": "1",
            "OCF_RA_VERSION_MINOR": "1",
            "OCF_RESOURCE_INSTANCE": RESOURCE,
            "OCF_RESOURCE_TYPE": "expgsql",
            "OCF_RESOURCE_PROVIDER": "heartbeat",
            "OCF_RESKEY_CRM_meta_timeout": str(int(self.timeout * 1000)),
            **{f"OCF_RESKEY_{_spelled(name)}": value for name, value in self.meta.items()},
            **{f"OCF_RESKEY_{name}": value for name, value in {**self.parameters, **parameters}.items()},
        }
        if level is not None:
            environment["OCF_CHECK_LEVEL"] = str(level)
        words = (*self.under, "env", *(f"{name}={value}" for name, value in environment.items()), AGENT, action)
        done = self.node.run(words, timeout=self.timeout + 10)
        return Answer(done.rc, done.stdout, done.stderr)
