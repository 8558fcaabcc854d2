"""Serves a page to browsers on this machine, to those who know its address."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

HOST = "127.0.0.1"
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class PageServer(ThreadingHTTPServer):
    """Read-only, on the loopback address; the path is a random token, so that other users of the machine cannot guess it.

    port: 0 for any that is free. token: for tests.
    """

    daemon_threads = True

    def __init__(self, html: Callable[[], str], port: int = 0, token: str | None = None) -> None:
        self.html, self.token = html, token or secrets.token_urlsafe(24)
        super().__init__((HOST, port), Handler)

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/{self.token}/"


class Handler(BaseHTTPRequestHandler):
    """Answers GET of the one page; all else is not found, or not supported."""

    server: PageServer
    server_version, sys_version = "peftcost", ""

    def do_GET(self) -> None:
        known = hmac.compare_digest(self.path.encode(), f"/{self.server.token}/".encode())
        # Another name for this address would be a page elsewhere that has been pointed here.
        named = self.headers.get("Host") in {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        if not (known and named):
            self.send_error(404)
            return
        body = self.server.html().encode()
        self.send_response(200)
        for name, value in {**HEADERS, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """The address is a secret, so nothing is logged."""
