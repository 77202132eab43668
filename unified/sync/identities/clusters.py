"""From links to clusters: which records are one customer, and under which id. No I/O happens here.

The outcome follows from the records and their links alone, not from the order in which they came: links are tried from
the strongest to the weakest, and one that would bring records together which a person has kept apart is passed over.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID, uuid4

from unified.store.identities.scopes import Scope
from unified.sync.identities import rules

MOST_RECORDS = 100
"""Records that may be one customer. Where more are linked, something is wrong with their data: the group is refused,
only what people and routes have linked stays so, and its records are marked for a person to look at."""

_LATEST = datetime.max.replace(tzinfo=UTC)


class Link(NamedTuple):
    """Why a record is in its cluster.

    Attributes:
        rule: Number of the rule.
        confidence: From 0 to 1.
        linked_to: The record that it is linked with.
    """

    rule: int
    confidence: float
    linked_to: UUID


@dataclass(frozen=True, slots=True)
class Cluster:
    """Records that are one customer.

    Attributes:
        members: By id; the first one is the one that the others are linked to, directly or not.
        links: Why each of the others is in here.
        refused_group: Where it is part of a group that was refused: the smallest id of that group.
    """

    members: list[UUID]
    links: Mapping[UUID, Link]
    refused_group: UUID | None = None


class _Edge(NamedTuple):
    """Records that a key or a pair links. Edges are tried in their sorted order: the surest first."""

    rule: int
    less_confidence: float
    members: list[UUID]


def clusters(scope: Scope) -> Iterator[Cluster]:
    """The clusters of a scope, in no order."""
    edges = list(_edges(scope))
    forest = _Forest(scope.members)
    for edge in edges:
        for other in edge.members[1:]:
            forest.join(edge.members[0], other)
    of_root: dict[UUID, list[_Edge]] = defaultdict(list)
    for edge in edges:
        of_root[forest.root(edge.members[0])].append(edge)
    apart: dict[UUID, set[UUID]] = defaultdict(set)
    for low, high in scope.apart:
        apart[low].add(high)
        apart[high].add(low)
    for root, group in forest.groups():
        if len(group) == 1:
            yield Cluster([root], {})
        else:
            yield from _split(sorted(group), sorted(of_root[root]), apart)


def _edges(scope: Scope) -> Iterator[_Edge]:
    for key, ids in scope.groups:
        rule = rules.rule_of(key)
        yield _Edge(rule.number, -rule.confidence, sorted(ids))
    for low, high, rule_number, confidence in scope.pairs:
        yield _Edge(rule_number, -confidence, [low, high])


def _split(
    group: Sequence[UUID], edges: Sequence[_Edge], apart: Mapping[UUID, set[UUID]]
) -> Iterator[Cluster]:
    """The clusters of a group of linked records."""
    is_refused = len(group) > MOST_RECORDS
    forest = _Forest(group, apart)
    links: dict[UUID, list[tuple[UUID, _Edge]]] = defaultdict(list)
    for edge in edges:
        if is_refused and edge.rule not in rules.EXPLICIT:
            continue
        # Each record joins the first of the others that it may be with.
        heads: list[UUID] = []
        for record in edge.members:
            for head in heads:
                if forest.root(head) == forest.root(record):
                    break
                if forest.join(head, record):
                    links[head].append((record, edge))
                    links[record].append((head, edge))
                    break
            else:
                heads.append(record)
    for _, members in forest.groups():
        members.sort()
        yield Cluster(members, _from_first(members[0], links), group[0] if is_refused else None)


def _from_first(first: UUID, links: Mapping[UUID, list[tuple[UUID, _Edge]]]) -> dict[UUID, Link]:
    """The links of a cluster, each from a record to the one that is nearer to the first."""
    found: dict[UUID, Link] = {}
    reached = [first]
    for record in reached:
        for other, edge in links.get(record, ()):
            if other != first and other not in found:
                found[other] = Link(edge.rule, -edge.less_confidence, record)
                reached.append(other)
    return found


class _Forest:
    """Disjoint sets of records, of which some may not come together."""

    def __init__(self, records: Iterable[UUID], apart: Mapping[UUID, set[UUID]] | None = None) -> None:
        self._parent = {record: record for record in records}
        self._apart = apart or {}
        self._members: dict[UUID, list[UUID]] = {}

    def root(self, record: UUID) -> UUID:
        parent = self._parent
        while (above := parent[record]) != record:
            parent[record] = record = parent[above]
        return record

    def join(self, one: UUID, other: UUID) -> bool:
        """Whether the two are together now."""
        if (a := self.root(one)) == (b := self.root(other)):
            return True
        mine, theirs = self._members.get(a, [a]), self._members.get(b, [b])
        if any(not self._apart[record].isdisjoint(theirs) for record in mine if record in self._apart):
            return False
        if len(mine) < len(theirs):
            a, b = b, a
        self._parent[b] = a
        self._members.setdefault(a, [a]).extend(self._members.pop(b, [b]))
        return True

    def groups(self) -> Iterator[tuple[UUID, list[UUID]]]:
        for record, parent in self._parent.items():
            if record == parent:
                yield record, self._members.get(record, [record])


def assign(
    found: Sequence[Cluster], former: Mapping[UUID, UUID | None], ages: Mapping[UUID, datetime]
) -> tuple[list[UUID], dict[UUID, UUID]]:
    """Give each cluster an id, so that a remembered id still leads to its customer.

    A cluster keeps its id as it grows. Of an identity that falls apart the largest part keeps the id, of equal parts
    the one with the smallest record. Where identities become one, the oldest one's id stays and the others lead to it.

    Args:
        found: Clusters that together hold all records of each identity they touch.
        former: The identity that each record was in.
        ages: When these identities came up.

    Returns:
        The clusters' ids in their order, and the ids that are no more with those that they lead to.
    """
    best: dict[UUID, tuple[int, UUID, int]] = {}
    for place, cluster in enumerate(found):
        for identity_id, count in Counter(map(former.__getitem__, cluster.members)).items():
            if identity_id is None:
                continue
            candidate = (-count, cluster.members[0], place)
            best[identity_id] = min(best.get(identity_id, candidate), candidate)
    claims: dict[int, list[UUID]] = defaultdict(list)
    for identity_id, (_, _, place) in best.items():
        claims[place].append(identity_id)
    ids: list[UUID] = []
    aliases: dict[UUID, UUID] = {}
    for place in range(len(found)):
        oldest, *merged = sorted(claims[place], key=lambda one: (ages.get(one, _LATEST), one)) or [uuid4()]
        ids.append(oldest)
        aliases |= dict.fromkeys(merged, oldest)
    return ids, aliases
