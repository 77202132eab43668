"""The settings of a connection to a document's system: the kit's, and those that the document names."""

from typing import Any, ClassVar

from pydantic import Field, create_model, model_validator

from unified.kit.declarations import AdapterConfig
from unified.kit.document.model import DocumentModel, Setting
from unified.kit.mapping.expressions.compiling import compile_template
from unified.kit.mapping.refusals import Refused

_LONGEST = 500


class DocumentConfig(AdapterConfig):
    """Settings of such a connection.

    Where the address has a setting in it, it follows that setting: nobody states it, but for a private stand-in.
    """

    own: ClassVar[tuple[str, ...]] = ()
    address: ClassVar[str | None] = None

    def said(self) -> dict[str, str]:
        """The document's own settings, for its expressions."""
        return {name: getattr(self, name) for name in self.own}

    @model_validator(mode="before")
    @classmethod
    def _address(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        stands_in = values.get("allow_private_hosts") is True and "base_url" in values
        if cls.address is None or stands_in:
            return values
        said = {name: values.get(name, cls.model_fields[name].default) for name in cls.own}
        given = {name: value for name, value in said.items() if isinstance(value, str)}
        try:
            return {
                **values,
                "base_url": str(compile_template(cls.address, ["settings"])({"settings": given})),
            }
        except Refused:
            return values  # a setting is missing, which is said by its name


def config_model(said: DocumentModel) -> type[DocumentConfig]:
    """The settings' model of a document."""
    fields: dict[str, Any] = {name: (str, _field(one)) for name, one in said.settings.items()}
    has_settings = "{{" in said.base_url
    if not has_settings:
        fields["base_url"] = (str, Field(default=said.base_url, description="Where the API lives."))
    made: type[DocumentConfig] = create_model(f"{said.id.title()}Config", __base__=DocumentConfig, **fields)
    made.hosts = tuple(host.removeprefix("*.") for host in said.hosts)
    made.own = tuple(said.settings)
    made.address = said.base_url if has_settings else None
    made.reads = AdapterConfig.reads | {name for name, one in said.settings.items() if one.reads}
    return made


def _field(said: Setting) -> Any:
    default: Any = ... if said.default is None else said.default
    return Field(
        default=default,
        min_length=1,
        max_length=_LONGEST,
        pattern=said.whole_pattern,
        description=said.description,
    )
