"""The lab's set-up file says the same as the parameters that its tests know."""

from __future__ import annotations

import pytest
from tests.lab import configuration
from tests.lab.configuration import Config

from expgsql_ra.parameter_kinds import PREFIX
from expgsql_ra.parameters import Parameters
from expgsql_ra.rules.setup_wanted import wanted
from expgsql_ra.setup_files import read_setup

BINDIR = "/usr/lib/postgresql/15/bin"


def understood(given: dict[str, str]) -> Parameters:
    """As the agent reads them."""
    return Parameters.from_environ({PREFIX + name: value for name, value in given.items()})


@pytest.mark.parametrize(
    "config",
    [
        Config(),
        Config(nodes=2),
        Config(nodes=2, arbiter="postgresql", lease=15),
        Config(arbiter="etcd", rep_mode="async"),
        Config(params={"rep_mode": "async", "primary_conninfo_opt": "", "strict_sync": "true"}),
        Config(properties={"no-quorum-policy": "freeze"}, migration_threshold=5),
    ],
)
def test_the_file_says_the_same(config: Config) -> None:
    setup = read_setup(configuration.setup_file(config, BINDIR), is_toml=True)
    ours = understood(setup.agent_parameters())
    theirs = understood(configuration.parameters(config, BINDIR))
    same = [one.replace(passfile="", config=one.config_file) for one in (ours, theirs)]
    assert same[0] == same[1]
    words = next(words for words in configuration.commands(config, BINDIR) if words[:2] == ["property", "set"])
    assert dict(wanted(setup).properties) == dict(word.split("=", 1) for word in words[2:])
