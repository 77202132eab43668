"""Why two records are one customer, or are not: what they have in common, and whether that is enough."""

from dataclasses import dataclass
from uuid import UUID

from unified.store.database import Database
from unified.store.identities import decisions as identity_decisions
from unified.store.identities import golden as identities
from unified.store.identities import scopes as identity_scopes
from unified.store.identities import settings as identity_settings
from unified.store.identities.decisions import Decision
from unified.store.identities.golden import IdentityNotFoundError
from unified.sync.identities import rules


@dataclass(frozen=True, slots=True)
class CommonKey:
    """A key that both records have.

    Attributes:
        rule: Of which rule.
        meaning: What that rule says.
        value: What they have in common, in one form.
        carriers: Records that carry it, counted up to a hundred.
        most: How many it allows.
        names: Different names among these, where the rule asks for one.
        holds: Whether it links them.
    """

    rule: str
    meaning: str
    value: str
    carriers: int
    most: int
    names: int
    holds: bool


@dataclass(frozen=True, slots=True)
class Explanation:
    """What is known of two records.

    Attributes:
        is_one: Whether they are one customer at present.
        path: If so, the links from the one to the other: pairs of records with the rule that links them.
        keys: What they have in common themselves, the strongest first.
        decisions: What people decided on them.
        refused: Whether they are in a group of linked records that is too large to be one customer.
    """

    is_one: bool
    path: list[tuple[UUID, str, UUID]]
    keys: list[CommonKey]
    decisions: list[Decision]
    refused: bool


async def explain(db: Database, workspace_id: UUID, one: UUID, other: UUID) -> Explanation:
    """Explain two records, by what the last run knew of them.

    Args:
        db: The database.
        workspace_id: The workspace.
        one: A record's ``unified_id``.
        other: Another's.

    Raises:
        IdentityNotFoundError: If one of them is not resolved.
    """
    async with db.workspace(workspace_id) as conn:
        settings = (await identity_settings.load(conn)).settings
        pair = {
            customer.unified_id: customer async for customer in identity_scopes.customers(conn, [one, other])
        }
        if missing := [record for record in (one, other) if record not in pair]:
            msg = f"record {missing[0]} is not resolved; is it deleted, or is `unified identities resolve` to come?"
            raise IdentityNotFoundError(msg)
        shared = [
            key
            for key in rules.keys_of(pair[one], settings)
            if key in set(rules.keys_of(pair[other], settings))
        ]
        counts = await identity_scopes.carriers(conn, [key.hash for key in shared])
        identity_ids = [await identities.find(conn, record) for record in (one, other)]
        members = {record.unified_id: record for record in await identities.records(conn, identity_ids[0])}
        decided = await identity_decisions.decisions(conn, [one])
    keys = []
    for key in sorted(shared, key=lambda key: key.rule.number):
        carriers, names = counts.get(key.hash, (0, 0))
        keys.append(
            CommonKey(
                key.rule.name,
                key.rule.meaning,
                key.value,
                carriers,
                key.rule.most,
                names,
                holds=1 < carriers <= key.rule.most and names <= 1,
            )
        )
    is_one = identity_ids[0] == identity_ids[1]
    return Explanation(
        is_one=is_one,
        path=_path(members, one, other) if is_one else [],
        keys=keys,
        decisions=[each for each in decided if {each.low_id, each.high_id} == {one, other}],
        refused=members[one].refused_group is not None,
    )


def _path(
    members: dict[UUID, identities.IdentityRecord], one: UUID, other: UUID
) -> list[tuple[UUID, str, UUID]]:
    """The links between two records of an identity: up from each to where they meet."""
    ways = []
    for start in (one, other):
        way, record = [], members[start]
        while record.linked_to is not None:
            way.append((record.unified_id, record.rule or "", record.linked_to))
            record = members[record.linked_to]
        ways.append(way)
    up, down = ways
    while up and down and up[-1] == down[-1]:
        up.pop()
        down.pop()
    return [*up, *reversed(down)]
