"""Pairs that a statistical model holds to be one customer, where no rule's equality does: misspelt names and streets.

The model is splink's (https://moj-analytical-services.github.io/splink/), an extra that need not be installed. It is
trained on the workspace's own records each time, without labels. All of them go through DuckDB in memory, so this is
for when it is asked for; what it finds is kept as pairs and takes part in every run.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

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
_KEYS = {rules.EMAIL: "email", rules.PHONE: "phone"}


class ProbabilisticError(SyncError):
    """Probabilistic matching can't be done; nothing was changed."""

    retry = False


async def find_pairs(db: Database, workspace_id: UUID) -> int:
    """Look for probable pairs among a workspace's records, in place of those found before.

    Args:
        db: The database.
        workspace_id: The workspace.

    Returns:
        How many there are. They take effect with the next run.

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
    pairs = await asyncio.to_thread(predict, columns)
    async with db.workspace(workspace_id) as conn:
        await identity_matches.replace(
            conn, workspace_id, [(UUID(one), UUID(other), probability) for one, other, probability in pairs]
        )
    return len(pairs)


def require() -> None:
    """See that splink can be used.

    Raises:
        ProbabilisticError: If not, with what to do.
    """
    try:
        import splink  # noqa: PLC0415, F401 - an extra
    except ImportError:
        msg = "probabilistic matching needs splink, which is not installed: pip install 'unified-assets[probabilistic]'"
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


def predict(
    columns: Mapping[str, Sequence[Any]], threshold: float = THRESHOLD
) -> list[tuple[str, str, float]]:
    """Train a model on records, and score the pairs of them that have something in common.

    Args:
        columns: What :func:`comparable` gives, each with a value or None for each record.
        threshold: The least probability of a pair.

    Returns:
        Pairs of ``unique_id`` with their probabilities.

    Raises:
        ProbabilisticError: If there are too few records alike to train on.
    """
    import pandas as pd  # noqa: PLC0415 - only here
    import splink.comparison_library as compare  # noqa: PLC0415 - an extra
    from splink import DuckDBAPI, Linker, SettingsCreator, block_on  # noqa: PLC0415
    from splink.internals.exceptions import SplinkException  # noqa: PLC0415

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
    candidates = [
        fields
        for fields in (
            ("name",),
            ("email",),
            ("phone",),
            ("tax_number",),
            ("street", "city"),
            ("street", "postal_code"),
            ("postal_code", _NAME_BEGINS),
            *((name,) for name in custom),
        )
        if {"name" if field == _NAME_BEGINS else field for field in fields} <= set(present)
    ]
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
        for fields in candidates:
            train.estimate_parameters_using_expectation_maximisation(block_on(*fields))
        scored = linker.inference.predict(threshold_match_probability=threshold)
    except (SplinkException, ValueError, ZeroDivisionError) as error:
        msg = f"there are too few records alike to train a model on ({type(error).__name__}); the rules go without it"
        raise ProbabilisticError(msg) from error
    rows: Iterable[Mapping[str, Any]] = scored.as_record_list()
    return [(row["unique_id_l"], row["unique_id_r"], float(row["match_probability"])) for row in rows]
