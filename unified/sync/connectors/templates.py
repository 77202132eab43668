"""Templates: connector documents that come with this release, each with recorded exchanges and a README.

Each is a folder of `unified/templates`. That they are part of the release vouches for them.
"""

from functools import cache
from importlib.resources import files

from unified.kit.document.model import read
from unified.kit.errors import ConfigurationError, did_you_mean
from unified.sync.connectors.files import DOCUMENT, Files

_FOLDER = files("unified") / "templates"


def names() -> list[str]:
    """The names of all templates, sorted."""
    return sorted(folder.name for folder in _FOLDER.iterdir() if (folder / DOCUMENT).is_file())


def template(name: str) -> Files:
    """A template's files.

    Raises:
        ConfigurationError: If there is none of that name.
    """
    known = names()
    if name not in known:
        raise ConfigurationError(
            f"there is no template {name!r}; there are {', '.join(known)}{did_you_mean(name, known)}"
        )
    return Files.within(_FOLDER / name)


@cache
def hashes() -> frozenset[str]:
    """The hashes of all templates of this release."""
    return frozenset(read(one.document, one.name).hash for one in map(template, names()))
