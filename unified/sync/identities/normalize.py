"""One form for values that are written in many: e-mail addresses, numbers, names, streets.

Every function returns None where a value says nothing about who somebody is. What makes two records one is
:mod:`unified.sync.identities.rules`.
"""

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

import phonenumbers

from unified.sync.identities import words

# Values repeat within a chunk: both sources' records of one person, many persons of one company.
_CACHED = 16_384

# Mexico: a 1 between country code and number marked mobile numbers until 2019, and is still written.
_MEXICO, _FORMER_MOBILE = 52, re.compile(r"1\d{10}")

_NOT_WORD = re.compile(r"[\W_]+")
_LONGEST = 200
"""Characters beyond which a name or an address is no such thing."""


class EmailAddress(NamedTuple):
    """An address in one form.

    Attributes:
        address: In lower case, without what its provider ignores.
        domain: Its domain.
        is_role: Whether an office reads it (``billing@``) and not one customer.
    """

    address: str
    domain: str
    is_role: bool


@lru_cache(_CACHED)
def email(text: str) -> EmailAddress | None:
    """An e-mail address, with differences taken out that its provider is known to ignore, and no others."""
    local, at, domain = unicodedata.normalize("NFKC", text).strip().casefold().rpartition("@")
    domain = domain.rstrip(".")
    if not at or not local or "." not in domain:
        return None
    domain = words.SAME_DOMAIN.get(domain, domain)
    untagged = local.split("+")[0]
    if domain in words.PLUS_IGNORED:
        local = untagged
    if domain in words.DOTS_IGNORED:
        local = local.replace(".", "")
    if not local:
        return None
    is_role = _NOT_WORD.sub("", untagged).rstrip("0123456789") in words.ROLES
    return EmailAddress(f"{local}@{domain}", domain, is_role)


@lru_cache(_CACHED)
def company_domain(text: str) -> str | None:
    """The domain of a company, of a domain's name or a website's URL; None for providers of mail for anybody."""
    domain = text.strip().casefold().rpartition("://")[2].partition("/")[0].partition(":")[0].rstrip(".")
    domain = domain.removeprefix("www.")
    if "." not in domain or domain in words.FREE_MAIL or domain.partition(".")[0] in words.FREE_MAIL_NAMES:
        return None
    return domain


@lru_cache(_CACHED)
def phone(text: str, region: str | None) -> str | None:
    """A telephone number in E.164.

    Args:
        text: As the source writes it.
        region: ISO 3166-1 alpha-2 code of the country that a number without a country code is in. None if unknown:
            then only international numbers count.

    Returns:
        For example ``+4930123456``; None if that can't be a number, or it has an extension, which many share.
    """
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    national = number.national_number
    if number.country_code == _MEXICO and _FORMER_MOBILE.fullmatch(str(national)):
        number.national_number = int(str(national)[1:])
    if number.extension or not phonenumbers.is_valid_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def _words(text: str) -> list[str]:
    """Words without case, accents and punctuation."""
    if text.isascii():
        folded = text.lower()
    else:
        parts = unicodedata.normalize("NFKD", text.casefold().translate(words.FOLDED))
        folded = "".join(char for char in parts if not unicodedata.combining(char))
    # "O'Neill" is one word, "A.B.C. GmbH" begins with one.
    return _NOT_WORD.sub(" ", re.sub(r"['\u2019.]", "", folded)).split()


@lru_cache(_CACHED)
def person_name(text: str) -> str | None:
    """A person's name, whichever way round it is written; None if it is one word only, which many have."""
    found = [word for word in _words(text[:_LONGEST]) if word not in words.TITLES]
    if len(found) < 2 and not any(len(word) > 1 and not word.isascii() for word in found):  # noqa: PLR2004
        return None
    return " ".join(sorted(found))


@lru_cache(_CACHED)
def company_name(text: str) -> str | None:
    """A company's name without its legal form; words in any order: it may be a person's, as far as a source says."""
    found = _words(text[:_LONGEST])
    while len(found) > 1 and found[-1] in words.LEGAL_FORMS:
        found.pop()
    return " ".join(sorted(found)) or None


@lru_cache(_CACHED)
def street(text: str) -> str | None:
    """Street and number, whichever comes first; None without a number or without a name."""
    found = []
    for word in _words(text[:_LONGEST]):
        stem = word.removesuffix("strasse")
        found.append(stem + "str" if stem and stem != word else words.STREETS.get(word, word))
    has_number = any(word[0].isdecimal() for word in found)
    return " ".join(sorted(found)) if has_number and len(found) > 1 else None


def code(text: str) -> str | None:
    """A postal code or a number of an authority: its letters and digits."""
    plain = unicodedata.normalize("NFKC", text).upper()
    return "".join(char for char in plain if char.isalnum())[:_LONGEST] or None
