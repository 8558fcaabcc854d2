"""The entry point: `peftcost`, and `python -m peftcost`."""

import os
import signal


def main() -> None:
    """Run the command line. Ctrl-C during its imports ends it in one line: nothing has begun that could be lost."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # not so under nohup
        signal.signal(signal.SIGINT, _stop)
    from peftcost.cli.app import main as run

    run()


def _stop(*_: object) -> None:
    os.write(2, b"peftcost: Interrupted.\n")
    os._exit(130)


if __name__ == "__main__":
    main()
