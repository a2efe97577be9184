"""dbt in a process that is warm: imported once, the project parsed once; each command is a fork.

    python -m tests.faults.warm_dbt SOCKET DBT_OPTION...

A command is a process of its own with connections of its own, in 1 s instead of 5; it can be told
to die, as by kill -9, before, inside or after its N-th statement that is not a mere select.
"""

import itertools
import json
import os
import re
import signal
import socketserver
import sys
import threading
from typing import Any

from dbt.adapters.sql.connections import SQLConnectionManager
from dbt.cli.main import dbtRunner
from dbt.contracts.graph.manifest import Manifest

# Long enough for the statement to reach the server, short enough for it to be at work there.
INSIDE_SECONDS = 0.001

_COMMENT = re.compile(r"^\s*(/\*.*?\*/\s*)*", re.DOTALL)


def is_mere_select(statement: str) -> bool:
    text = _COMMENT.sub("", statement).lower()
    # `with` may stand before a statement that writes
    return text.startswith("select") or (
        text.startswith("with") and not re.search(r"\b(insert|update|delete|merge)\b", text)
    )


class Statements:
    """Counts what dbt sends, and ends this process at one of them."""

    def __init__(self, number: int | None, moment: str) -> None:
        self.number, self.moment = number, moment
        self.sent: list[str] = []
        self._numbers = itertools.count(1)

    def watch(self) -> None:
        add_query: Any = SQLConnectionManager.add_query

        def watched(manager: Any, sql: str, *arguments: Any, **options: Any) -> Any:
            if is_mere_select(sql):
                return add_query(manager, sql, *arguments, **options)
            self.sent.append(" ".join(_COMMENT.sub("", sql).split())[:80])
            is_last = next(self._numbers) == self.number
            if is_last and self.moment == "before":
                die()
            if is_last and self.moment == "inside":
                threading.Timer(INSIDE_SECONDS, die).start()
            done = add_query(manager, sql, *arguments, **options)
            if is_last:
                die()
            return done

        setattr(SQLConnectionManager, "add_query", watched)  # noqa: B010 - its type is narrower


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Command(socketserver.StreamRequestHandler):
    """Runs in the fork: one line of JSON in, one out; none when it died."""

    def handle(self) -> None:
        server = self.server
        assert isinstance(server, WarmDbt)
        request = json.loads(self.rfile.readline())
        os.environ.update(request["environment"])
        statements = Statements(request["die_at"], request["moment"])
        statements.watch()
        result = dbtRunner(manifest=server.manifest).invoke(
            [
                *("--quiet", "--log-level-file", "none", "--no-write-json"),
                *request["arguments"],
                *server.options,
            ]
        )
        failed = [r for r in getattr(result.result, "results", ()) if r.status in ("error", "fail")]
        reply = {
            "success": result.success,
            "error": str(
                result.exception or "\n".join(f"{r.node.name}: {r.message}" for r in failed)
            ),
            "statements": statements.sent,
        }
        self.wfile.write(json.dumps(reply).encode())


class WarmDbt(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Keeps the parsed project."""

    def __init__(self, path: str, options: list[str]) -> None:
        parsed = dbtRunner().invoke(["--quiet", "parse", *options])
        if not isinstance(parsed.result, Manifest):
            raise SystemExit(str(parsed.exception))
        self.manifest, self.options = parsed.result, options
        # from here on, who connects is served
        super().__init__(path, Command)


if __name__ == "__main__":
    with WarmDbt(sys.argv[1], sys.argv[2:]) as server:
        server.serve_forever()
