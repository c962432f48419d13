"""The command line. Heavy things are imported by the command that needs them: a node's process, which
imports this package on its way up, must not pay for typer, nor ``raftkv get`` for textual."""

import signal


def main() -> None:
    # Ctrl-C before there is anything to be put in order ends the process, without the traceback of an import.
    plain = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if plain:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from raftkv.cli.app import run

    if plain:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()
