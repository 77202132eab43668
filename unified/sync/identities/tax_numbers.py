"""Tax numbers in one form, with the country that gave them: what identities and routes compare.

Separators and check digits are those of python-stdnum (https://arthurdejong.org/python-stdnum/). Which part of a number
names its holder is said here: a Norwegian VAT number is the organisation's number and ``MVA``, a French one holds the
SIREN. A number that fails its country's check is not a key, and equal digits of two countries are two numbers.
"""

import re
import unicodedata
from functools import lru_cache

from stdnum.ch import uid
from stdnum.exceptions import ValidationError
from stdnum.fr import siren
from stdnum.util import NumberValidationModule, get_cc_module

_CACHED = 16_384
_LONGEST = 40
_SHORTEST_UNCHECKED = 6
_LEAST_DIFFERENT = 3

# Codes that stand before numbers and are not the country's own, and places that use another country's register:
# Northern Ireland and the Isle of Man, Monaco, Liechtenstein.
_SAME = {"EL": "GR", "UK": "GB", "XI": "GB", "IM": "GB", "MC": "FR", "LI": "CH"}

_EU = frozenset(
    ("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU", "IE", "IT", "LT", "LU", "LV",
     "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
)  # fmt: skip

# By country, the kinds of number that name a taxpayer, as python-stdnum calls them, with the part of each that does.
# Where a country is missing it is its VAT number, whole.
_WHOLE = slice(None)
_KINDS: dict[str, dict[str, slice]] = {
    "BR": {"cnpj": _WHOLE, "cpf": _WHOLE},
    "CA": {"bn": slice(9)},  # what follows is an account of the business: RT0001 for GST
    "CH": {"uid": _WHOLE},
    "CR": {"cpj": _WHOLE, "cpf": _WHOLE},
    "FR": {"tva": slice(2, None), "siren": _WHOLE, "siret": slice(9)},
    "GB": {"vat": slice(9)},  # what follows is a branch
    "IL": {"hp": _WHOLE, "idnr": _WHOLE},
    "IN": {"gstin": _WHOLE, "pan": _WHOLE},
    "IT": {"iva": _WHOLE, "codicefiscale": _WHOLE},
    "NO": {"orgnr": _WHOLE},
    "SE": {"vat": slice(10), "orgnr": _WHOLE},
    "TH": {"tin": _WHOLE},
    "TR": {"vkn": _WHOLE, "tckimlik": _WHOLE},
    "US": {"ein": _WHOLE},
}

# What is written beside a number and does not belong to it: "VAT registered" in its country's words, the county of a
# Hungarian number.
_BESIDE = {
    "CH": re.compile("(?:MWST|TVA|IVA|TPV|VAT)$"),
    "HU": re.compile("(?<=^[0-9]{8})[0-9]{3}$"),
    "JP": re.compile("^T(?=[0-9]{13}$)"),
    "NO": re.compile("MVA$"),
}

# What turns an organisation's number into its VAT number.
_AFTER = {"NO": "MVA", "SE": "01"}

# Types of Stripe's (https://docs.stripe.com/billing/customer/tax-ids) that are series of their own beside the country's
# VAT number, and one that several companies share.
_OTHER_SERIES = frozenset(
    ("au_arn", "ca_pst_bc", "ca_pst_mb", "ca_pst_sk", "ca_qst", "de_stn", "eu_oss_vat", "jp_rn", "my_frp", "my_sst",
     "no_voec", "sg_gst", "ua_vat"),
)  # fmt: skip
_SHARED = frozenset(["ru_kpp"])


@lru_cache(_CACHED)
def tax_number(text: str, country: str | None = None, kind: str | None = None) -> str | None:
    """A tax number in the one form that it is compared in.

    The country is the one that the number's type names, else the one written before it, else the customer's.

    Args:
        text: As the source writes it.
        country: ISO 3166-1 alpha-2 code of the customer's country; None if unknown.
        kind: What the source says it is, in Stripe's words, which begin with the country: ``eu_vat``, ``us_ein``.

    Returns:
        For example ``DE136695976``; None if it fails its country's check, or nothing says which country that is.
    """
    plain = "".join(char for char in unicodedata.normalize("NFKC", text).upper() if char.isalnum())
    if not plain.isascii() or len(plain) > _LONGEST or kind in _SHARED:
        return None
    if kind in _OTHER_SERIES:
        return _unchecked(f"{kind}:", plain)
    home = _country(country)
    said = _country((kind or "").partition("_")[0])
    if said is not None and said != "EU":
        return _of_country(said, plain)
    before = _country(plain[:2])
    is_before = (
        before is not None and (said is None or before in _EU or before == "GB") and bool(_modules(before))
    )
    if before is not None and is_before and (found := _checked(before, plain)) is not None:
        return found
    if home is None or (said == "EU" and home not in _EU) or (is_before and not _modules(home)):
        return None
    return _of_country(home, plain)


def spellings(key: str) -> list[str]:
    """How a number of :func:`tax_number`'s form is usually stored: with its country's code and without, as printed."""
    country, number = key[:2], key[2:]
    if country == "CH":  # CHE stands before all of them
        printed = uid.format(key)
        return [
            one + word for one in (number[1:], key, printed) for word in ("", " MWST", " TVA", " IVA", " VAT")
        ]
    whole = [number]
    if country == "FR":
        whole.append(siren.to_tva(number))
    elif country in _AFTER:
        whole.append(number + _AFTER[country])
    whole.append(" ".join(number[at : at + 3] for at in range(0, len(number), 3)))
    bare = dict.fromkeys([*whole, *(_printed(module, number) for module, _ in _modules(country))])
    before = [country, *(code for code, register in _SAME.items() if register == country)]
    return [*bare, *(f"{code}{gap}{one}" for code in before for one in bare for gap in ("", " "))]


def _printed(module: NumberValidationModule, number: str) -> str:
    """As the country's own papers have it, where python-stdnum knows that: ``91-1144442``."""
    written = getattr(module, "format", None)
    try:
        return str(written(number)).strip() if written else number
    except ValidationError:
        return number


def _country(code: str | None) -> str | None:
    code = (code or "").strip().upper()
    return _SAME.get(code, code) if len(code) == len("DE") and code.isascii() and code.isalpha() else None


def _of_country(country: str, plain: str) -> str | None:
    return _checked(country, plain) if _modules(country) else _unchecked(country, plain.removeprefix(country))


def _checked(country: str, plain: str) -> str | None:
    bare = plain[2:] if _country(plain[:2]) == country else plain
    if len(set(bare)) < _LEAST_DIFFERENT:
        return None  # 000000000 has right check digits in some countries
    for text in dict.fromkeys((plain, bare)):
        if beside := _BESIDE.get(country):
            text = beside.sub("", text)  # noqa: PLW2901 - the same number
        for module, holder in _modules(country):
            try:
                number = module.validate(text)
            except ValidationError:
                continue
            return country + number.removeprefix(country)[holder]
    return None


def _unchecked(before: str, number: str) -> str | None:
    """A number of which only its series is known: it needs to look like one."""
    digits = sum(char.isdigit() for char in number)
    is_likely = len(number) >= _SHORTEST_UNCHECKED and 2 * digits >= len(number)
    return before + number if is_likely and len(set(number)) >= _LEAST_DIFFERENT else None


@lru_cache
def _modules(country: str) -> tuple[tuple[NumberValidationModule, slice], ...]:
    kinds = _KINDS.get(country, {"vat": _WHOLE})
    found = ((get_cc_module(country, name), holder) for name, holder in kinds.items())
    return tuple((module, holder) for module, holder in found if module is not None)
