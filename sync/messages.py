"""Changes as requests, in the form that the contract declares."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from assay.deliveries import Sync
from sync.outbox import Change


@dataclass(frozen=True)
class Message:
    """A request to the receiver."""

    method: Literal["POST", "DELETE"]
    path: str
    body: str | None = None
    """JSON."""


def messages_of(sync: Sync, batch: Sequence[Change]) -> Iterator[Message]:
    """The requests that tell the receiver of a batch; sent again, they change nothing more."""
    if sync.items == "changes":
        yield Message("POST", sync.path, _listed(sync, [_document(change) for change in batch]))
        return
    rows = [change.row for change in batch if change.row is not None]
    if rows:
        yield Message("POST", sync.path, _listed(sync, rows))
    for change in batch:
        if change.row is None and sync.delete:
            yield Message("DELETE", sync.delete.replace("{key}", quote(change.key, safe="")))


def _listed(sync: Sync, items: Sequence[str]) -> str:
    text = f"[{', '.join(items)}]"
    return f"{{{json.dumps(sync.list_name)}: {text}}}" if sync.list_name else text


def _document(change: Change) -> str:
    """The row is written as PostgreSQL wrote it: Python would change its numbers."""
    told = {
        "idempotency_key": change.idempotency_key,
        "number": change.number,
        "operation": change.operation,
        "key": change.key,
    }
    return f'{json.dumps(told)[:-1]}, "row": {change.row or "null"}}}'
