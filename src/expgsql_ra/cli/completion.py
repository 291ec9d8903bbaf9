# SPDX-License-Identifier: GPL-2.0-or-later
"""``expgsql completion SHELL``: click's own script, which asks the program itself at each tab."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from expgsql_ra.cli.outcome import Failure

VARIABLE = "_EXPGSQL_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(*, shell: str) -> None:
    """Print the completion script of a shell.

    \b
    bash: expgsql completion bash > /etc/bash_completion.d/expgsql
    zsh:  expgsql completion zsh > "${fpath[1]}/_expgsql"
    fish: expgsql completion fish > ~/.config/fish/completions/expgsql.fish
    """
    found = get_completion_class(shell)
    if found is None:
        raise Failure(f"this version of click completes nothing in {shell}; use bash")
    click.echo(found(click.Command("expgsql"), {}, "expgsql", VARIABLE).source())
