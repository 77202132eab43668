"""How an extra that is missing is installed. What each extra holds is in ``pyproject.toml``."""


def how_to_install(extra: str) -> str:
    """The command for an installed package, and the one for a checkout, whose environment has no pip."""
    return f"pip install 'unified-assets[{extra}]', or in a checkout ./install --extra {extra}"
