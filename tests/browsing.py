"""A page in a browser, for tests."""

from __future__ import annotations

from typing import Any


def opened(
    browser: Any, url: str, ready: str = ".main-svg", width: int = 1280, height: int = 900, scheme: str = "light", **more: Any
) -> Any:
    """A page, which remembers what it complained about and what else it asked for. ready: what has to be there."""
    page = browser.new_page(viewport={"width": width, "height": height}, color_scheme=scheme, **more)
    page.complaints = []
    page.on("console", lambda m: page.complaints.append(m.text) if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    page.on("dialog", lambda dialog: (page.complaints.append(f"dialog {dialog.message}"), dialog.dismiss()))
    page.on("request", lambda r: page.complaints.append(r.url) if not r.url.startswith(url) else None)
    page.goto(url)
    page.wait_for_selector(ready)
    return page


def serious_faults(page: Any) -> list[Any]:
    """What axe finds of accessibility that is serious."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [(v["id"], [n["html"][:120] for n in v["nodes"]][:3]) for v in found if v["impact"] in ("serious", "critical")]
