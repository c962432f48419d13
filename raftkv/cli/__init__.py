"""The command line. Heavy things are imported by the command that needs them: a node's process, which
imports this package on its way up, must not pay for typer, nor ``raftkv get`` for textual."""


def main() -> None:
    from raftkv.cli.app import run

    run()
