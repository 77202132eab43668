"""`unified init`: a folder with a user's own definitions, which `unified dev` loads when it is started there."""

import json
import keyword
import re
from collections.abc import Mapping
from importlib.metadata import distribution
from importlib.resources import as_file, files
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Annotated, NamedTuple
from urllib.parse import unquote, urlsplit

import typer

from unified.cli.output import out
from unified.cli.session import CommandError, UsageError

_NAME = re.compile(r"[a-z][a-z0-9]*([-_][a-z0-9]+)*")
_LONGEST_NAME = 63


class _Layout(NamedTuple):
    """How a project is laid out.

    Attributes:
        files: The files of the project, and the ones that they are made from, beside those that all have.
        assets: The file with the example.
        about: What is in its files, for its README.
        settings: What its ``pyproject.toml`` has beside Dagster's own lines.
    """

    files: Mapping[str, str]
    assets: str
    about: str
    settings: str = ""


_FILES = {
    "pyproject.toml": "pyproject.toml.template",
    "README.md": "README.md.template",
    ".gitignore": "gitignore.template",
    "{package}/__init__.py": "package/__init__.py",
}
_PYTHON = _Layout(
    {
        "{package}/assets.py": "package/assets.py",
        "{package}/definitions.py": "package/definitions.py",
    },
    "{package}/assets.py",
    "`{package}/assets.py` holds the assets, `{package}/definitions.py` merges them with those of the connected "
    "systems.",
)
_COMPONENT = _Layout(
    {
        "{package}/defs/assets.py": "package/assets.py",
        "{package}/defs/unified/defs.yaml": "component/defs.yaml",
        "{package}/definitions.py": "component/definitions.py",
    },
    "{package}/defs/assets.py",
    "Each folder and module below `{package}/defs` is loaded: `assets.py` holds the assets, `unified/defs.yaml` stands "
    "for the connected systems.",
    """
# Where `dg` finds the same.
[tool.dg]
directory_type = "project"

[tool.dg.project]
root_module = "{package}"
code_location_name = "{name}"
""",
)


def init(
    folder: Annotated[
        Path, typer.Argument(help="Folder to make; its last part is the project's name, such as `myproject`.")
    ],
    *,
    component: Annotated[
        bool, typer.Option("--component", help="Lay it out as `dg` does: our part is a component in YAML.")
    ] = False,
) -> None:
    """Make a project of your own: definitions with one example asset, beside those of all connected systems.

    Nothing of Unified Assets itself has to be changed to add an asset, a check, a schedule or a resource.
    """
    name = folder.absolute().name
    package = name.replace("-", "_")
    _check(name, package)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        msg = f"{folder} exists already and is not an empty folder: choose another, or empty it"
        raise UsageError(msg)
    installed = distribution("unified-assets")
    layout = _COMPONENT if component else _PYTHON
    names = {"name": name, "package": package}
    values = {
        "name": name,
        "package": package,
        "version": installed.version.partition("+")[0],
        "layout": layout.about.format(**names),
        "settings": layout.settings.format(**names),
        "source": _source(installed.read_text("direct_url.json")),
    }
    try:
        (folder / package).mkdir(parents=True)
    except FileNotFoundError as error:  # a place such as /proc takes no folder
        msg = f"{folder} can't be made: {error.strerror}; choose another place"
        raise CommandError(msg) from None
    with as_file(files("unified.cli.init") / "template") as template:
        for target, origin in {**_FILES, **layout.files}.items():
            text = (template / origin).read_text()
            if origin.endswith(".template"):
                text = Template(text).substitute(values)
            file = folder / target.format(package=package)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    out.print(
        f"{folder} is a project with one asset, in {folder / layout.assets.format(package=package)}. Next:\n"
    )
    out.print(f"    cd {folder}\n    unified demo    # data to begin with, or `unified connections add`")
    out.print("    unified dev     # Dagster with your assets beside those of the connected systems")


def _check(name: str, package: str) -> None:
    """Refuse a name that can't be that of a project and of its Python package.

    Raises:
        UsageError: If it can't.
    """
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        msg = (
            f"{name!r} is not a valid name: use 1 to {_LONGEST_NAME} lower-case letters, digits, - and _, "
            "beginning with a letter"
        )
        raise UsageError(msg)
    found = None if keyword.iskeyword(package) else find_spec(package)
    if keyword.iskeyword(package) or (found and found.origin):
        msg = f"{name!r} is a word of Python or a package that is installed already: choose another name"
        raise UsageError(msg)


def _source(direct_url: str | None) -> str:
    """Where a project's environment gets Unified Assets from, as a table of its ``pyproject.toml``.

    Args:
        direct_url: What pip and uv note where it was installed from a folder, an archive or git
            (https://packaging.python.org/en/latest/specifications/direct-url/); None where it came from an index.
    """
    if direct_url is None:
        return ""
    noted = json.loads(direct_url)
    url = urlsplit(noted["url"])
    if git := noted.get("vcs_info"):
        source = {"git": noted["url"], "rev": git["commit_id"]}
    elif url.scheme == "file":
        source = {"path": unquote(url.path)}
    else:
        source = {"url": noted["url"]}
    # A JSON string is a TOML string as well.
    fields = [f"{key} = {json.dumps(value)}" for key, value in source.items()]
    if noted.get("dir_info", {}).get("editable"):
        fields.append("editable = true")
    return f"\n[tool.uv.sources]\nunified-assets = {{ {', '.join(fields)} }}\n"
