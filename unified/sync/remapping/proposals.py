"""Field rules proposed from the shapes of stored raw records, tried on them, and what a person decides about each.

Nothing is in force before somebody decides: proposals are made anew from what is stored, by the same rules each time,
and by the model's last answer, where one was asked (`consulting`). A declined one is not proposed again until the rule
or its field's shape is another.
"""

from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from unified.kit.errors import ConfigurationError
from unified.kit.factory import build_adapter
from unified.kit.mapping.compiled import FieldRules
from unified.kit.mapping.rules import Rule
from unified.kit.mapping.trial import RuleTrial, Tryout
from unified.kit.proposing.drafting import IDENTITY, Proposal, propose
from unified.kit.proposing.fields import digest, observed
from unified.kit.proposing.matching import LEAST, matches
from unified.kit.proposing.vocabulary import places
from unified.store.connections import field_rules
from unified.store.connections.field_rules import Basis
from unified.store.connections.rows import Connection
from unified.store.database import Database
from unified.store.errors import InvalidSettingError
from unified.store.records.tables import StreamKey
from unified.sync.remapping.asking import Asker
from unified.sync.remapping.consulting import Consulted, Subject, consult
from unified.sync.remapping.trials import flat, is_empty, mapped, stored_bodies

MOST_RECORDS = 1000


@dataclass(frozen=True, slots=True)
class _Stored:
    body: bytes | memoryview
    observed_at: datetime
    raw: Any


@dataclass(frozen=True, slots=True)
class ProposedRule:
    """A rule that is proposed, and what it did to the records that were looked at.

    Attributes:
        rule: The rule.
        proposal: Its confidence in parts, the reason, and what to look at.
        spec_hash: Of the shape of the field that it reads.
        trial: How often it filled its field, found nothing or failed.
    """

    rule: Rule
    proposal: Proposal
    spec_hash: str
    trial: RuleTrial

    @property
    def is_refuted(self) -> bool:
        """Whether a model alone proposes it, and no record bears it out."""
        sure = self.proposal.confidence
        return bool(sure.model) and sure.name < LEAST and self.trial.rejected > 0 == self.trial.filled


@dataclass(frozen=True, slots=True)
class ProposedRules:
    """What is proposed for a stream.

    Attributes:
        records: How many stored records were looked at.
        rules: The proposals. What the connector or a rule fills has none, nor has a source that is always empty.
        declined: Targets of proposals that somebody declined before.
        unmatched: Paths for which nothing fits.
        remarks: What looks odd across records once the rules have run.
        consulted: What a model had to do with it.
    """

    records: int
    rules: list[ProposedRule]
    declined: list[str]
    unmatched: list[str]
    remarks: list[str]
    consulted: Consulted

    def of(self, target: str) -> ProposedRule:
        """The proposal that fills a field.

        Raises:
            InvalidSettingError: If there is none.
        """
        found = next((one for one in self.rules if one.rule.target == target), None)
        if found is None:
            targets = ", ".join(one.rule.target for one in self.rules) or "nothing"
            raise InvalidSettingError(f"no rule is proposed that fills {target!r}; proposed is: {targets}")
        return found


async def propose_rules(
    db: Database, connection: Connection, stream: str, *, limit: int = 200, asker: Asker | None = None
) -> ProposedRules:
    """Propose rules for what a connector leaves out of a stream.

    Args:
        db: Where the records are.
        connection: Whose records.
        stream: Which of them.
        limit: How many stored records to look at; at most :data:`MOST_RECORDS`.
        asker: Who asks which model. None asks none; an answer that one gave before is used all the same.

    Raises:
        InvalidSettingError: If the connector has no such stream, or a rule in force can't be read.
    """
    adapter = build_adapter(connection.connector, connection.settings, {}, connection.ref)
    try:
        declared = adapter.stream(stream)
        in_force = await field_rules.read(db, connection, stream)
        before = FieldRules(declared.entity.model, in_force)
    except ConfigurationError as error:
        raise InvalidSettingError(str(error)) from None
    filled = {rule.target for rule in in_force}
    records: list[_Stored] = []
    key = StreamKey.of(connection, declared)
    async with aclosing(stored_bodies(db, key, min(limit, MOST_RECORDS))) as stored:
        async for _, body, observed_at in stored:
            made, raw = mapped(adapter, stream, body, observed_at, before)
            records.append(_Stored(body, observed_at, raw))
            if not isinstance(made, str):
                fields_of = {**dict(made), **flat(made)}
                filled |= {name for name, value in fields_of.items() if not is_empty(value)}
    fields = observed(one.raw for one in records)
    entity = declared.entity.name
    open_places = [one for one in places(entity) if one.target not in {*filled, *IDENTITY}]
    subject = Subject(connection, stream, entity, fields, open_places, matches(entity, fields))
    matched, consulted = await consult(db, subject, asker)
    found = propose(entity, fields, matched)
    never_filled = {one.path for one in fields if not one.filled}
    shapes = {one.path: digest([one]) for one in fields}
    declined = await field_rules.declined(db, connection, stream)
    wanted: list[tuple[Proposal, Rule, str]] = []
    closed: list[str] = []
    for one in found.rules:
        if one.rule is None or one.target in filled or one.source in never_filled:
            continue
        before_it = declined.get(one.target)
        shape = shapes[one.source]
        if before_it is not None and (before_it.rule, before_it.spec_hash) == (one.rule.as_json(), shape):
            closed.append(one.target)
        else:
            wanted.append((one, one.rule, shape))
    after = FieldRules(declared.entity.model, field_rules.with_new(in_force, [rule for _, rule, _ in wanted]))
    tried = FieldRules(declared.entity.model, [rule for _, rule, _ in wanted])
    tryout = Tryout(tried.compiled, (await db.clock())())
    for record in records:
        made, _ = mapped(adapter, stream, record.body, record.observed_at, after)
        tryout.see(record.raw, made)
    trial = tryout.result()
    trials = {one.target: one for one in trial.rules}
    rules = [ProposedRule(rule, one, shape, trials[one.target]) for one, rule, shape in wanted]
    failed = [one for one in rules if one.is_refuted]
    consulted.dropped.extend(
        f"{one.rule.source} → {one.rule.target}: it fails on each record" for one in failed
    )
    kept = [one for one in rules if not one.is_refuted]
    return ProposedRules(len(records), kept, closed, list(found.unmatched), trial.remarks, consulted)


async def decide(
    db: Database,
    connection: Connection,
    stream: str,
    *,
    accept: Sequence[Rule] = (),
    decline: Sequence[str] = (),
    actor: str,
    limit: int = 200,
) -> None:
    """Put rules in force that a person accepted, and remember what the person declined.

    Args:
        db: Where the rules are.
        connection: Whose rules.
        stream: Of which stream.
        accept: Rules as they were proposed, or as the person changed them. One that is as proposed keeps the confidence
            of the proposal.
        decline: Targets of proposals.
        actor: Who decided.
        limit: How many stored records to look at, as :func:`propose_rules` did.

    Raises:
        InvalidSettingError: If a rule can't work, or nothing is proposed for a target that is declined. Nothing is
            changed then.
    """
    both = {rule.target for rule in accept} & set(decline)
    if both:
        raise InvalidSettingError(f"{', '.join(sorted(both))}: accept or decline, not both")
    found = await propose_rules(db, connection, stream, limit=limit)
    unwanted = [found.of(target) for target in dict.fromkeys(decline)]
    known = {one.rule.target: one for one in found.rules}
    bases = {
        rule.target: _basis(known[rule.target])
        for rule in accept
        if rule.target in known and rule.as_json() == known[rule.target].rule.as_json()
    }
    if accept:
        await field_rules.put(db, connection, stream, *accept, actor=actor, bases=bases)
    if unwanted:
        closed = [(one.rule, _basis(one)) for one in unwanted]
        await field_rules.decline(db, connection, stream, closed, actor=actor)


def _basis(one: ProposedRule) -> Basis:
    return Basis(one.proposal.confidence.score, one.spec_hash)
