"""The real thing, in the words of the model: loader, dbt, PostgreSQL and API in one process."""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import httpx
from fastapi import FastAPI

from loader.copy import load_file
from loader.loads import LoadResult
from tests.property.model import SOURCE, Account, Document, File, Key, Row, Rules
from tests.warehouse import HEADER, Warehouse

METABOLITES = "/api/v1/metabolites"


@dataclass(frozen=True)
class Version:
    """An item of a key's history."""

    version: int
    operation: str
    before: Row | None
    after: Row | None


class Api:
    """The application itself, called without a network."""

    def __init__(self, app: FastAPI, issue_token: Callable[[], str]) -> None:
        self._app = app
        self._issue_token = issue_token
        self._paths = {route.path for route in app.routes if hasattr(route, "path")}
        self._runner: asyncio.Runner
        self._client: httpx.AsyncClient

    @contextmanager
    def run(self) -> Iterator[None]:
        """While its database is there."""
        with asyncio.Runner() as self._runner:
            lifespan = self._app.router.lifespan_context(self._app)
            self._runner.run(lifespan.__aenter__())
            # A token of each history's own: it lives for minutes, a run of many for longer.
            self._client = httpx.AsyncClient(
                transport=httpx.ASGITransport(self._app),
                base_url="http://localhost:8000",
                headers={
                    "Authorization": f"Bearer {self._issue_token()}",
                    "If-Match": "*",
                    "Content-Type": "application/json",
                },
            )
            try:
                yield
            finally:
                self._runner.run(self._client.aclose())
                self._runner.run(lifespan.__aexit__(None, None, None))

    def request(
        self, method: str, path: str = "", document: Document | None = None
    ) -> httpx.Response:
        """Of a path below the metabolites."""
        body = None if document is None else json.dumps(document)
        return self._runner.run(self._client.request(method, METABOLITES + path, content=body))


class System:
    """One database of one history. Everything that changes it goes the way of the product."""

    def __init__(self, new_warehouse: AbstractContextManager[Warehouse], api: Api) -> None:
        self._stack = ExitStack()
        self.warehouse = self._stack.enter_context(new_warehouse)
        self.api = api
        self._stack.enter_context(api.run())

    def close(self) -> None:
        self._stack.close()

    # ---------- what is done

    def load(self, name: str, file: File) -> LoadResult:
        path = self.warehouse.folder / name
        headers = [HEADER[SOURCE.index(column)] for column in file.columns]
        with path.open("w", encoding="utf-8", newline="") as text:
            # The one mandatory column comes last: so a row with too few fields lacks that one.
            csv.writer(text).writerows((*row[1:], row[0]) for row in (headers, *file.rows))
        source_table = self.warehouse.catalog.source_tables["laboratory.metabolites"]
        return load_file(self.warehouse.url, source_table, path, loaded_by="test")

    def build(self, *options: str) -> None:
        """The curated model alone: no views, no tests."""
        self._dbt("run", "--select", "metabolites", *options)

    def test(self) -> None:
        """The dbt tests of the rules; one that warns does not fail."""
        self._dbt("test", "--select", "metabolites")

    def lose_table(self) -> None:
        self.warehouse.connection.execute("drop table curated.metabolites cascade")

    def unload(self, load_id: int, user: str) -> bool:
        """Whether it was not refused."""
        arguments = json.dumps({"load_id": load_id, "user": user})
        result = self.warehouse.invoke(
            self.warehouse.url, "run-operation", "unload", "--args", arguments
        )
        return bool(result.success)

    def _dbt(self, *arguments: str) -> None:
        result = self.warehouse.invoke(self.warehouse.url, *arguments)
        failed = [r.message for r in result.result or () if r.status in ("error", "fail")]
        assert result.success, result.exception or failed

    # ---------- what is there then

    def table(self) -> dict[Key, tuple[Row, str]]:
        """The rows by key, each with who set it."""
        rows = self.warehouse.query("select to_jsonb(t)::text as row from curated.metabolites as t")
        found = [read_json(row["row"]) for row in rows]
        return {row["metabolite_id"]: (row_of(row), row["updated_by"]) for row in found}

    def rows_with_wrong_time(self) -> list[dict[str, Any]]:
        """Rows whose time is not that of the load or the edit that set them."""
        return self.warehouse.query("""
            select * from curated.metabolites as t
            where
                updated_at is distinct from coalesce(
                    (
                        select finished_at from raw.loads
                        where starts_with(t.updated_by, 'load ' || loads.load_id || ' row ')
                    ),
                    (
                        select edited_at from journal.edits
                        where edits.entity = 'metabolites' and edits.key = t.metabolite_id::text
                        order by edits.clock desc
                        limit 1
                    )
                )
        """)

    def writers(self) -> dict[Key, str]:
        """The transaction that wrote each row."""
        rows = self.warehouse.query("""
            select metabolite_id::text as key, xmin::text from curated.metabolites
        """)
        return {row["key"]: row["xmin"] for row in rows}

    def accounts(self) -> dict[int, tuple[Account, int, dict[str, int]]]:
        """Of each load that a build took: the account, its rows, how many break each rule."""
        rows = self.warehouse.query("select * from journal.accounts where entity = 'metabolites'")
        names = Account.__dataclass_fields__
        return {
            row["load_id"]: (Account(**{n: row[n] for n in names}), row["rows"], row["rules"])
            for row in rows
        }

    def verdicts(self) -> dict[int, dict[int, Rules]]:
        """The rules that rejected rows break, by load and row number."""
        found: dict[int, dict[int, Rules]] = {}
        for row in self.warehouse.query("select * from rejected.rejected_metabolites"):
            found.setdefault(row["load_id"], {})[row["row_number"]] = frozenset(row["rules"])
        return found

    def history(self, key: Key) -> list[Version]:
        """The versions of a key, oldest first."""
        response = self.api.request("GET", f"/{key}/history")
        assert response.status_code == 200, response.text
        items = read_json(response.text)["items"]
        return [
            Version(
                int(item["version"]),
                item["operation"],
                item["before"] and row_of(item["before"]),
                item["after"] and row_of(item["after"]),
            )
            for item in sorted(items, key=lambda item: int(item["version"]))
        ]


def read_json(text: str) -> Any:  # it is JSON
    """Numbers with all their digits."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


def row_of(document: dict[str, Any]) -> Row:
    """A row from the JSON that PostgreSQL makes of it."""
    value = document["sample_value"]
    return Row(
        feature=document["feature"],
        identification_level=int(document["identification_level"]),
        id_inchi=document["id_inchi"],
        cas_number=document["cas_number"],
        method=document["method"],
        sample_value=None if value is None else f"{value:f}",
        sample_status=document["sample_status"],
        repairs=tuple(document["repairs"]),
    )


def row_of_response(response: httpx.Response) -> Row:
    return row_of(read_json(response.text))
