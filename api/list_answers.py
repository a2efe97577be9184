"""Answers of lists: a page, or all rows as a file."""

import json
from urllib.parse import urlencode

from fastapi import Request, Response

from api.cells import cells_of, in_source_form
from api.cursor import encoded, refuse
from api.database import Database
from api.exports import Export
from api.limits import take
from api.listing import Listing
from api.parameters import expandable
from api.resource import Resource, answer, found
from api.security import check_readable
from api.templates import cells_of_source, sheet_of, source_of
from api.users import User
from assay.catalog import Link
from assay.ways_back import NoWayBackError, ways_back


def targets_of(resource: Resource, resources: dict[str, Resource]) -> dict[str, Resource]:
    """What rows of a list refer to, by the name that `expand` has for it."""
    return {
        name: resources[(one.far if isinstance(one, Link) else one).references or ""]
        for name, one in expandable(resource.entity, resource.catalog).items()
    }


async def listed(  # noqa: PLR0913, PLR0917 - of what, what, and for whom
    request: Request,
    resource: Resource,
    targets: dict[str, Resource],
    listing: Listing,
    caller: User,
    database: Database,
) -> Response:
    """A page, or a file, of a list."""
    plans = resource.plans
    plans.check(caller, listing.named)
    if listing.format != "json":
        take(request, "exports", str(caller.user_id))
        return _export(resource, listing, caller, database)
    names = (one.path if isinstance(one, Link) else one.name for one in listing.expanded)
    expanded = {name: targets[name] for name in names}
    for target in expanded.values():
        check_readable(caller, target.entity)
    sql, values = listing.page(
        plans.seen(caller),
        plans.links_seen(caller),
        {name: (of.entity, of.plans.seen(caller)) for name, of in expanded.items()},
    )
    rows = await database.fetch(sql, *values.bound)
    following = None
    if len(rows) > listing.limit:
        rows = rows[: listing.limit]
        following = encoded(listing.position(rows[-1]["position"]))
    body = f'{{"items":[{",".join(row["item"] for row in rows)}],"next":{json.dumps(following)}'
    if listing.counting:
        body += f',"count":{await _count(database, listing)}'
    return answer(body + "}", headers=_link(request, following))


def _export(resource: Resource, listing: Listing, caller: User, database: Database) -> Response:
    entity, plans = resource.entity, resource.plans
    if listing.template is None:
        columns = listing.columns or plans.seen(caller)
        sql, values = listing.rows(columns)
        cells, sheet = cells_of(columns), None
    else:
        source = source_of(resource.catalog, entity, listing.template, listing.format)
        # the way back may read any of them
        plans.check(caller, entity.columns_by_name)
        try:
            ways = ways_back(entity, source)
        except NoWayBackError as error:
            refuse("form", str(error))
        sql, values = in_source_form(listing, ways)
        cells, sheet = cells_of_source(source), sheet_of(source)
    return Export(
        database,
        caller,
        entity.name,
        sql,
        values.bound,
        cells,
        listing.format,
        sheet,
        has_bom=listing.has_bom,
    )


async def _count(database: Database, listing: Listing) -> int:
    sql, values = listing.count()
    row = found(await database.fetch_row(sql, *values.bound))
    if listing.counting == "exact":
        return int(row["count"])
    (explained,) = json.loads(row[0])
    return int(explained["Plan"]["Plan Rows"])


def _link(request: Request, following: str | None) -> dict[str, str]:
    """RFC 8288."""
    if following is None:
        return {}
    asked = [pair for pair in request.query_params.multi_items() if pair[0] != "cursor"]
    query = urlencode([*asked, ("cursor", following)])
    return {"Link": f'<{request.scope["path"]}?{query}>; rel="next"'}
