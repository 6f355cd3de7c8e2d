"""`bitwright completion`: the script that lets a shell complete subcommands, options and files. Click writes it."""

import click
from click.shell_completion import get_completion_class

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "bitwright", "_BITWRIGHT_COMPLETE"


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print the script that completes bitwright's command line in SHELL.

    \b
    bash: bitwright completion bash > ~/.local/share/bash-completion/completions/bitwright
    zsh:  bitwright completion zsh > DIR/_bitwright, where DIR is in $fpath before compinit runs
    fish: bitwright completion fish > ~/.config/fish/completions/bitwright.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None  # click has one for each of SHELLS
    click.echo(kind(click.get_current_context().find_root().command, {}, PROGRAM, VARIABLE).source())
