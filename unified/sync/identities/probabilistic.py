"""Pairs that a statistical model holds to be one customer, where no rule's equality does: misspelt names and streets.

The model is splink's (https://moj-analytical-services.github.io/splink/), an extra that need not be installed. It is
trained on the workspace's own records each time, without labels. All of them go through DuckDB in memory, so this is
for when it is asked for; what it finds is kept as pairs and takes part in every run.
"""

import asyncio
import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from unified.extras import how_to_install
from unified.store.database import Database
from unified.store.identities import matches as identity_matches
from unified.store.identities import settings as identity_settings
from unified.store.identities.records import Customer
from unified.store.identities.settings import IdentitySettings
from unified.sync.errors import SyncError
from unified.sync.identities import normalize, rules

THRESHOLD = 0.99
"""Probability from which a pair is taken. One wrong link joins two customers, so it is high."""

SEED = 1
"""So that the same records give the same pairs."""

COLUMNS = ("unique_id", "name", "email", "phone", "street", "postal_code", "city", "tax_number")
_NAME_BEGINS = "substr(name, 1, 4)"
_NAME_LETTERS = 4
_MOST_PAIRS = 20_000_000
"""Pairs that are compared for having one thing in common: memory and time are spent on each."""
_LARGEST_SHARE = 0.1
"""Of all pairs; what more of them have in common says nothing about who somebody is."""
_KEYS = {rules.EMAIL: "email", rules.PHONE: "phone"}


class ProbabilisticError(SyncError):
    """Probabilistic matching can't be done; nothing was changed."""

    retry = False


class Prediction(NamedTuple):
    """What a model finds.

    Attributes:
        pairs: Of ``unique_id``, with their probabilities.
        skipped: What it could not learn from, each with the reason, for people.
    """

    pairs: list[tuple[str, str, float]]
    skipped: list[str]


async def find_pairs(db: Database, workspace_id: UUID) -> Prediction:
    """Look for probable pairs among a workspace's records, in place of those found before.

    Args:
        db: The database.
        workspace_id: The workspace.

    Returns:
        The pairs, which take effect with the next run, and what the model had to do without.

    Raises:
        ProbabilisticError: If splink is not installed, or there are too few records to train a model.
        StoreError: If the database fails.
    """
    require()
    columns: dict[str, list[Any]] = defaultdict(list)
    async with db.workspace(workspace_id) as conn:
        settings = (await identity_settings.load(conn)).settings
        async for customer in identity_matches.customers(conn):
            for name, value in comparable(customer, settings).items():
                columns[name].append(value)
    found = await asyncio.to_thread(predict, columns)
    async with db.workspace(workspace_id) as conn:
        await identity_matches.replace(
            conn,
            workspace_id,
            [(UUID(one), UUID(other), probability) for one, other, probability in found.pairs],
        )
    return found


def require() -> None:
    """See that splink can be used.

    Raises:
        ProbabilisticError: If not, with what to do.
    """
    try:
        import splink  # noqa: PLC0415, F401 - an extra
    except ImportError:
        msg = (
            f"probabilistic matching needs splink, which is not installed: {how_to_install('probabilistic')}"
        )
        raise ProbabilisticError(msg) from None


def comparable(customer: Customer, settings: IdentitySettings) -> dict[str, str | None]:
    """What the model compares of a record, in the form that the rules use.

    Besides COLUMNS, these are the custom fields that the workspace makes keys of.
    """
    address = customer.billing_address or customer.shipping_address or {}
    row: dict[str, str | None] = dict.fromkeys(COLUMNS)
    row |= {
        "unique_id": str(customer.unified_id),
        "name": rules.name_of(customer),
        "street": normalize.street(str(address.get("line1") or "")),
        "postal_code": normalize.code(str(address.get("postal_code") or "")),
        "city": normalize.company_name(str(address.get("city") or "")),
        "tax_number": rules.tax_number_of(customer, settings),
    }
    for key in rules.keys_of(customer, settings):
        if (column := _KEYS.get(key.rule)) and row[column] is None:
            row[column] = key.value
    custom = sorted({field for key in settings.keys for field in key if field not in rules.KEY_FIELDS})
    return row | {
        f"custom_{place}": rules.value_of(customer, field, settings) for place, field in enumerate(custom)
    }


def predict(columns: Mapping[str, Sequence[Any]], threshold: float = THRESHOLD) -> Prediction:
    """Train a model on records, and score the pairs of them that have something in common.

    Args:
        columns: What :func:`comparable` gives, each with a value or None for each record.
        threshold: The least probability of a pair.

    Returns:
        The pairs, and which columns it could not learn from: what no two records have in common, or nearly all.

    Raises:
        ProbabilisticError: If there are too few records alike to train on.
    """
    import pandas as pd  # noqa: PLC0415 - only here
    import splink.comparison_library as compare  # noqa: PLC0415 - an extra
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on  # noqa: PLC0415
    from splink.internals.exceptions import EMTrainingException, SplinkException  # noqa: PLC0415

    present = [name for name, values in columns.items() if name != "unique_id" and any(values)]
    custom = [name for name in present if name not in COLUMNS]
    comparisons = {
        "name": compare.JaroWinklerAtThresholds("name", [0.95, 0.88, 0.8]),
        "email": compare.JaroWinklerAtThresholds("email", [0.95]),
        "phone": compare.LevenshteinAtThresholds("phone", [1]),
        "street": compare.JaroWinklerAtThresholds("street", [0.95, 0.88]),
        "postal_code": compare.LevenshteinAtThresholds("postal_code", [1]),
        "city": compare.JaroWinklerAtThresholds("city", [0.92]),
        "tax_number": compare.LevenshteinAtThresholds("tax_number", [1]),
        **{name: compare.LevenshteinAtThresholds(name, [1]) for name in custom},
    }
    candidates, skipped = _candidates(columns, present, custom)
    if not candidates:
        raise _too_few(skipped)
    db_api = DuckDBAPI()
    records = db_api.register(pd.DataFrame({name: columns[name] for name in ("unique_id", *present)}))
    linker = Linker(
        records,
        SettingsCreator(
            link_type="dedupe_only",
            comparisons=[comparisons[name] for name in present],
            blocking_rules_to_generate_predictions=[block_on(*fields) for fields in candidates],
        ),
        log_level=logging.ERROR,
    )
    try:
        train = linker.training
        train.estimate_probability_two_random_records_match(
            [block_on(*fields) for fields in candidates[:4]], recall=0.7
        )
        train.estimate_u_using_random_sampling(max_pairs=2e6, seed=SEED)
        untrained = []
        for fields in candidates:
            try:
                train.estimate_parameters_using_expectation_maximisation(block_on(*fields))
            except EMTrainingException:
                untrained.append(f"{_described(fields)} (too few records have the same)")
        if len(untrained) == len(candidates):
            raise _too_few(skipped + untrained)
        scored = linker.inference.predict(threshold_match_probability=threshold)
    except (SplinkException, ValueError, ZeroDivisionError) as error:
        raise _too_few(skipped) from error
    rows: Iterable[Mapping[str, Any]] = scored.as_record_list()
    pairs = [(row["unique_id_l"], row["unique_id_r"], float(row["match_probability"])) for row in rows]
    return Prediction(pairs, skipped + untrained)


def _candidates(
    columns: Mapping[str, Sequence[Any]], present: Sequence[str], custom: Sequence[str]
) -> tuple[list[tuple[str, ...]], list[str]]:
    """What two records need to have in common to be compared, and what is of no use for that, with the reason.

    One column without two equal values would otherwise end the training of the whole model.
    """
    candidates, skipped = [], []
    records = len(columns["unique_id"])
    most = min(_MOST_PAIRS, _LARGEST_SHARE * records * (records - 1) / 2)
    for fields in (
        ("name",),
        ("email",),
        ("phone",),
        ("tax_number",),
        ("street", "city"),
        ("street", "postal_code"),
        ("postal_code", _NAME_BEGINS),
        *((name,) for name in custom),
    ):
        if not {"name" if field == _NAME_BEGINS else field for field in fields} <= set(present):
            continue
        values = [
            [one and one[:_NAME_LETTERS] for one in columns["name"]]
            if field == _NAME_BEGINS
            else columns[field]
            for field in fields
        ]
        alike = Counter(key for key in zip(*values, strict=True) if None not in key)
        pairs = sum(count * (count - 1) // 2 for count in alike.values())
        if 0 < pairs <= most:
            candidates.append(fields)
        else:
            why = "too many records have" if pairs else "no two records have"
            skipped.append(f"{_described(fields)} ({why} the same)")
    return candidates, skipped


def _described(fields: Sequence[str]) -> str:
    return " with ".join("the name's beginning" if field == _NAME_BEGINS else field for field in fields)


def _too_few(skipped: Sequence[str]) -> ProbabilisticError:
    without = f"; of no use were {', '.join(skipped)}" if skipped else ""
    return ProbabilisticError(
        f"there are too few records alike to train a model on{without}; the rules go without it"
    )
