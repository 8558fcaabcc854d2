"""`peftcost watch`"""

from __future__ import annotations

import contextlib
import time
from typing import Annotated

import typer

from peftcost.cli.options import RunFolder

LOOK_SECONDS = 1.0


def watch(
    run: RunFolder,
    web: Annotated[bool, typer.Option("--web", help="Serve the report to a browser on this machine.")] = False,
    port: Annotated[int, typer.Option("--port", help="With --web. Default: any that is free.")] = 0,
) -> None:
    """Look on at a run from another terminal or a browser; it changes nothing of the run."""
    from peftcost.store.run_folder import open_run_folder

    folder = open_run_folder(run)
    with contextlib.suppress(KeyboardInterrupt):
        if web:
            from peftcost.watch.page import LivePage
            from peftcost.watch.server import PageServer

            with PageServer(LivePage(folder).html, port) as server:
                print(f"{server.url}  (Ctrl-C ends it)", flush=True)
                server.serve_forever()
        from rich.console import Console

        from peftcost.cli.live import LiveView, panel
        from peftcost.watch.follower import Follower

        follower, console = Follower(folder), Console()
        plain = not console.is_terminal
        with LiveView(console, quiet=False, plain=plain) as view:
            view.update(follower.look())
            while follower.is_alive():
                time.sleep(LOOK_SECONDS)
                view.update(follower.look())
        if not plain:
            console.print(panel(follower.look()))
        if not follower.is_finished:
            print(f"No process works on this run; `peftcost resume {run}` goes on.")
