"""Tax numbers of many countries in one form, and never one form for two of them."""

from typing import Any

import pytest

from tests.unified.sync.identities.tenant import Tenant, parts
from unified.schema import UnifiedAddress, UnifiedCustomer
from unified.store.records import lookups
from unified.sync.identities.tax_numbers import spellings, tax_number
from unified.sync.routes.matching import key_value, stored_forms

# Numbers that python-stdnum's own documentation calls valid, with their country and as often written without it.
NUMBERS = {
    "ATU13585627": "U13585627", "BE0403019261": "403.019.261", "BG175074752": "175 074 752", "CY10259033P": "10259033P",
    "CZ25123891": "25123891", "DE136695976": "136 695 976", "DK13585628": "13 58 56 28", "EE100931558": "100 931 558",
    "EL094259216": "094259216", "ESB58378431": "B-58378431", "FI20774740": "2077474-0",
    "FR40303265045": "40 303 265 045", "HR33392005961": "33392005961", "HU12892312": "12892312-2-43",
    "IE6433435F": "6433435F", "IT00743110157": "00743110157", "LT119511515": "119511515", "LU15027442": "150 274 42",
    "LV40003521600": "4000 3521 600", "MT11679112": "1167-9112", "NL004495445B01": "004495445B01",
    "PL8567346215": "856-734-62-15", "PT501964843": "501 964 843", "RO18547290": "18547290",
    "SE556188840401": "556188-8404", "SI50223054": "5022 3054", "SK2022749619": "202 274 96 19",
    "GB980780684": "980 7806 84", "CHE-107.787.577 MWST": "CHE-107.787.577", "NO 995 525 828 MVA": "995 525 828",
    "IS 00621": "00621", "CA 12302 6635 RC 0001": "123026635", "MX MAB-930714-8T4": "MAB9307148T4",
    "US 91-1144442": "911144442", "AU 83 914 571 673": "83914571673", "IN27AAPFU0939F1ZV": "27AAPFU0939F1ZV",
    "BR 16.727.230/0001-97": "16727230000197", "JP T5-8356-7825-6246": "5835678256246", "KR116-82-00276": "1168200276",
    "NZ 49-098-576": "49098576", "SG 197401143C": "197401143C", "TR 4540536920": "4540536920",
    "IL 516179157": "516179157", "AR 20-05536168-2": "20055361682", "CL 76086428-5": "76.086.428-5",
    "CO 213.123.432-1": "2131234321", "PE20512333797": "20512333797",
}  # fmt: skip
COUNTRIES = {written: {"EL": "GR"}.get(written[:2], written[:2]) for written in NUMBERS}
written = pytest.mark.parametrize("written", NUMBERS)


@written
def test_a_number_is_the_same_with_its_country_and_without(written: str) -> None:
    country = COUNTRIES[written]
    key = tax_number(written)
    assert key is not None
    assert key.startswith(country)
    for text, home in (
        (NUMBERS[written], country),
        (written.lower(), "AQ"),
        (f" {written} ", country.lower()),
    ):
        assert tax_number(text, home) == key


@written
def test_each_way_to_store_a_number_that_is_asked_for_is_that_number(written: str) -> None:
    key = tax_number(written)
    assert key is not None
    asked = spellings(key)
    assert {tax_number(one, COUNTRIES[written]) for one in asked} == {key}
    plain = {"".join(filter(str.isalnum, one)) for one in asked}
    if COUNTRIES[written] != "CA":  # what follows a Canadian number is an account, and may be any
        assert "".join(filter(str.isalnum, written)).replace("JPT", "JP") in plain


@written
def test_a_number_without_a_country_is_none_and_never_one_of_two_countries(written: str) -> None:
    bare, key = NUMBERS[written], tax_number(written)
    if bare[:2] == written[:2]:  # a Swiss number is never written without CHE, but for its digits
        bare = bare[3:]
    assert tax_number(bare) is None
    others = {tax_number(bare, country) for country in COUNTRIES.values() if country != COUNTRIES[written]}
    assert key not in others


@written
def test_a_digit_that_is_wrong_makes_it_no_number(written: str) -> None:
    country, bare = COUNTRIES[written], "".join(filter(str.isalnum, NUMBERS[written]))
    place = 4 if country == "US" else max(at for at, char in enumerate(bare[:8]) if char.isdigit())
    wrong = bare[:place] + str((int(bare[place]) + 1) % 10) + bare[place + 1 :]
    if country in (
        "US",
        "IS",
        "KR",
        "MX",
    ):  # they have no check digit, or one of letters that is not always used
        assert tax_number(wrong, country) != tax_number(bare, country)
    else:
        assert tax_number(wrong, country) is None


@pytest.mark.parametrize(
    ("kind", "text", "country", "key"),
    [
        ("eu_vat", "DE136695976", "AT", "DE136695976"),
        ("eu_vat", "136695976", "DE", "DE136695976"),
        ("eu_vat", "911144442", "US", None),
        ("eu_vat", "XI980780684", None, "GB980780684"),
        ("gb_vat", "980780684", "DE", "GB980780684"),
        ("gb_vat", "GB980780684001", None, "GB980780684"),
        ("us_ein", "91-1144442", "DE", "US911144442"),
        ("au_abn", "83914571673", None, "AU83914571673"),
        ("in_gst", "27AAPFU0939F1ZV", None, "IN27AAPFU0939F1ZV"),
        ("br_cnpj", "16.727.230/0001-97", None, "BR16727230000197"),
        ("br_cpf", "390.533.447-05", None, "BR39053344705"),
        ("ch_vat", "CHE-107.787.577 TVA", None, "CHE107787577"),
        ("ch_uid", "107.787.577", None, "CHE107787577"),
        ("li_uid", "CHE107787577", None, "CHE107787577"),
        ("no_vat", "995525828MVA", None, "NO995525828"),
        ("ca_gst_hst", "123026635RT0002", None, "CA123026635"),
        ("hu_tin", "12892312-2-43", None, "HU12892312"),
        ("es_cif", "B58378431", None, "ESB58378431"),
        ("jp_trn", "T5835678256246", None, "JP5835678256246"),
        ("ae_trn", "100123456700003", None, "AE100123456700003"),
        ("no_voec", "2034567", "NO", "no_voec:2034567"),
        ("ru_kpp", "773301001", "RU", None),
        ("us_ein", "DE136695976", "DE", None),
    ],
)
def test_the_type_says_the_country(kind: str, text: str, country: str | None, key: str | None) -> None:
    assert tax_number(text, country, kind) == key


@pytest.mark.parametrize(
    "text",
    ["", "-", "n/a", "none", "000000000", "GB000000000", "DE111111111", "unknown", "pending", "x" * 300,
     "\N{FULLWIDTH DIGIT ONE}3", "\0\0\0", "DE" * 20, "\N{EXTENDED ARABIC-INDIC DIGIT ONE}36695976", "DE136695975",
     "see invoice 12"],
)  # fmt: skip
@pytest.mark.parametrize("country", [None, "DE", "GB", "US", "AE", "Germany", "é!", ""])
def test_what_is_no_number_is_none(text: str, country: str | None) -> None:
    assert tax_number(text, country) is None


def test_full_width_digits_are_digits() -> None:
    wide = "".join(chr(ord(char) - ord("0") + ord("\N{FULLWIDTH DIGIT ZERO}")) for char in "136695976")
    assert tax_number(f"DE {wide}") == "DE136695976"


def at(country: str) -> dict[str, Any]:
    return {"billing_address": UnifiedAddress(country=country)}


async def test_records_are_one_by_the_number_and_its_country(tenant: Tenant) -> None:
    await tenant.add("stripe", "1", tax_number="DE136695976", **at("US"))
    await tenant.add("hubspot", "1", tax_number="136 695 976", **at("DE"))
    # The same digits are a valid number of Portugal's form too, and nobody knows which country's the third are.
    await tenant.add("stripe", "2", tax_number="501964843", **at("PT"))
    await tenant.add("hubspot", "2", tax_number="501964843", **at("FI"))
    await tenant.add("hubspot", "3", tax_number="501964843")
    await tenant.add("stripe", "4", tax_number="DE136695975")
    await tenant.add("hubspot", "4", tax_number="DE136695975")
    await tenant.add("stripe", "5", tax_number="91-1144442", custom_fields={"tax_number_type": "us_ein"})
    await tenant.add("hubspot", "5", tax_number="911144442", **at("US"))
    await tenant.resolve()
    assert await tenant.partition() == parts(
        ["s1", "h1"], ["s2"], ["h2"], ["h3"], ["s4"], ["h4"], ["s5", "h5"]
    )


async def test_a_route_finds_a_number_as_it_is_written_and_in_its_country_only(tenant: Tenant) -> None:
    stored = ("136695976", "DE136695976", "DE 136695976", "136 695 976", "501964843")
    for place, number in enumerate(stored):
        country = "PT" if number == "501964843" else "DE"
        await tenant.add("hubspot", str(place), tax_number=number, **at(country))
    asking = tenant.customer("stripe", "1", tax_number="DE 136.695.976", **at("AT"))
    key = key_value(asking, "tax_number")
    assert key == "DE136695976"
    async with tenant.db.workspace(tenant.workspace_id) as conn:
        found = await lookups.by_key(
            conn, tenant.key("hubspot"), "tax_number", stored_forms("tax_number", [key], [])
        )
    assert {one.source_id for one in found} == {"0", "1", "2", "3"}
    assert {key_value(one, "tax_number") for one in found if isinstance(one, UnifiedCustomer)} == {key}
    # The same digits, of a customer elsewhere, are another number or none.
    elsewhere = tenant.customer("stripe", "2", tax_number="501964843", **at("FI"))
    assert key_value(elsewhere, "tax_number") != "PT501964843"
