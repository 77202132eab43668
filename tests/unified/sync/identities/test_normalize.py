"""Values in one form: what is taken to be the same, and what is not."""

import pytest
from hypothesis import strategies as st

from tests.properties import given
from unified.sync.identities import normalize


@pytest.mark.parametrize(
    ("text", "address", "is_role"),
    [
        ("Ann@Acme.COM ", "ann@acme.com", False),
        ("\uff41nn@acme.com", "ann@acme.com", False),  # a full-width a
        ("a.nn+news@gmail.com", "ann@gmail.com", False),
        ("A.N.N@googlemail.com", "ann@gmail.com", False),
        ("a.nn+news@outlook.com", "a.nn@outlook.com", False),  # a dot counts there
        ("a.nn+news@acme.com", "a.nn+news@acme.com", False),  # both may count there
        ("INFO@acme.com", "info@acme.com", True),
        ("billing+eu@acme.com", "billing+eu@acme.com", True),
        ("accounts-payable2@acme.com", "accounts-payable2@acme.com", True),
        ("infoline@acme.com", "infoline@acme.com", False),
    ],
)
def test_addresses(text: str, address: str, is_role: bool) -> None:
    found = normalize.email(text)
    assert found is not None
    assert (found.address, found.is_role) == (address, is_role)


@pytest.mark.parametrize(
    "text", ["", "ann", "@acme.com", "ann@", "ann@localhost", "+x@gmail.com", "..@gmail.com"]
)
def test_what_is_no_address(text: str) -> None:
    assert normalize.email(text) is None


@pytest.mark.parametrize(
    ("text", "region", "number"),
    [
        ("030 901820", "DE", "+4930901820"),
        ("+49 (30) 901820", None, "+4930901820"),
        ("030 901820", None, None),  # of which country?
        ("+49 30 901820 ext. 12", None, None),  # a switchboard's
        ("000000000", "DE", None),
        ("call me", "DE", None),
        ("+44 20 7946 0018", "DE", "+442079460018"),
        # A mobile number as it was written in Mexico until 2019; phonenumbers 9.0.43 calls it no valid number.
        ("+52 1 55 1234 5678", None, "+525512345678"),
        ("1 55 1234 5678", "MX", "+525512345678"),
        ("+52 55 1234 5678", None, "+525512345678"),
    ],
)
def test_numbers(text: str, region: str | None, number: str | None) -> None:
    assert normalize.phone(text, region) == number


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Ann Smith", "SMITH, Ann"),
        ("Dr. Jos\u00e9 Nu\u00f1ez", "Jose Nunez"),
        ("Sean O'Neill", "Sean O\u2019Neill"),
    ],
)
def test_persons_alike(one: str, other: str) -> None:
    assert normalize.person_name(one) == normalize.person_name(other) is not None


def test_one_word_is_no_person() -> None:
    assert normalize.person_name("Ann") is None
    assert normalize.person_name("\u5f20\u4f1f") is not None  # written without a space


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ACME GmbH & Co. KG", "Acme"),
        ("A.C.M.E. Inc.", "acme"),
        ("\u0141\u00f3d\u017a S.A.", "Lodz"),
        ("Stra\u00dfe AG", "strasse"),
    ],
)
def test_companies_alike(one: str, other: str) -> None:
    assert normalize.company_name(one) == normalize.company_name(other) is not None


def test_a_company_may_be_called_like_a_legal_form() -> None:
    assert normalize.company_name("Limited") == "limited"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Hauptstra\u00dfe 5", "5 Hauptstrasse"),
        ("8 Stanley Street", "8, Stanley St."),
        ("12b High Road", "12B high rd"),
    ],
)
def test_streets_alike(one: str, other: str) -> None:
    assert normalize.street(one) == normalize.street(other) is not None


def test_a_street_needs_a_number() -> None:
    assert normalize.street("Hauptstra\u00dfe") is None
    assert normalize.street("5") is None


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("acme.com", "acme.com"),
        ("https://www.Acme.com/about", "acme.com"),
        ("gmail.com", None),
        ("yahoo.co.jp", None),
        ("localhost", None),
    ],
)
def test_domains(text: str, domain: str | None) -> None:
    assert normalize.company_domain(text) == domain


@given(st.text(max_size=80))
def test_anything_has_one_form_or_none(text: str) -> None:
    for form in (normalize.person_name, normalize.company_name, normalize.street, normalize.code):
        if (once := form(text)) is not None:
            assert once
            assert once == once.strip()
    if (found := normalize.email(text)) is not None:
        assert normalize.email(found.address) == found
    normalize.phone(text, "US")
    normalize.company_domain(text)
