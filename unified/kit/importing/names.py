"""Names and descriptions of others as documents spell them."""

import re


def slug(name: str) -> str:
    """A name as documents spell it: lower-case words with underscores between, at most 40 characters."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:200])
    said = re.sub(r"[^a-z0-9]+", "_", words.lower()).strip("_")[:40].rstrip("_")
    return said if said[:1].isalpha() else f"x_{said}"[:40].rstrip("_")


def plain(text: str) -> str:
    """A description without markup, on one line and cut: it is shown to people."""
    return " ".join(re.sub(r"<[^>]*>", "", text[:4000]).split())[:500]
