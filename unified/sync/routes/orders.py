"""What a route is to do, as a document: in the API and in files of connections. What it becomes: RouteSettings."""

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field

from unified.schema.conditions import Condition
from unified.store.routes.settings import Direction, OnDelete, OnMissing, Policy, RouteField, RouteSettings


class FieldRule(BaseModel):
    """A field that travels."""

    model_config = ConfigDict(extra="forbid")

    source: Annotated[
        str,
        Field(
            max_length=200,
            description="A field of the customer, or `custom_fields.<key>`.",
            examples=["email"],
        ),
    ]
    target: Annotated[
        str | None,
        Field(max_length=200, description="What it is called at the target; the same unless given."),
    ] = None
    policy: Annotated[Policy | None, Field(description="Who wins, for this field alone.")] = None


class FilterCondition(BaseModel):
    """A condition that a customer has to meet to travel."""

    model_config = ConfigDict(extra="forbid")

    field: Annotated[str, Field(max_length=200, examples=["custom_fields.tier"])]
    operator: Annotated[
        Literal[
            "is", "is_not", "in", "not_in", "contains", "starts_with", "ends_with", "above", "below", "is_set",
            "is_empty",
        ],
        Field(examples=["is"]),
    ]  # fmt: skip
    value: Annotated[
        str | float | bool | list[str | float | bool] | None,
        Field(
            description="A list for `in` and `not_in`, nothing for `is_set` and `is_empty`.",
            examples=["gold"],
        ),
    ] = None


class Orders(BaseModel):
    """What a route does."""

    model_config = ConfigDict(extra="forbid")

    fields: Annotated[
        list[FieldRule], Field(max_length=200, description="By default all that both systems can hold.")
    ] = Field(default_factory=list)
    direction: Annotated[Direction, Field(description="Whether changes at the target travel back.")] = (
        "one_way"
    )
    filter: Annotated[list[FilterCondition], Field(max_length=50, description="All have to be met.")] = Field(
        default_factory=list
    )
    conflict_policy: Annotated[Policy, Field(description="Who wins where both sides changed a field.")] = (
        "source_wins"
    )
    match_keys: Annotated[
        list[str],
        Field(
            max_length=10,
            description="What to look for after the e-mail address, before a record is created: `phone`, "
            "`tax_number`, `domain_name`, `custom_fields.<key>`.",
            examples=[["phone"]],
        ),
    ] = Field(default_factory=list)
    on_delete: Annotated[OnDelete, Field(description="What a deletion does on the other side.")] = "ignore"
    on_missing: Annotated[OnMissing, Field(description="What to do where the counterpart was deleted.")] = (
        "unlink"
    )
    interval_minutes: Annotated[
        int | None, Field(ge=1, le=44_640, description="How often to run; null as soon as something changed.")
    ] = None

    def settings(self) -> RouteSettings:
        """As the store keeps them."""
        return RouteSettings(
            fields=tuple(RouteField(one.source, one.target or one.source, one.policy) for one in self.fields),
            direction=self.direction,
            filter=tuple(Condition(one.field, one.operator, one.value) for one in self.filter),
            conflict_policy=self.conflict_policy,
            match_keys=tuple(self.match_keys),
            on_delete=self.on_delete,
            on_missing=self.on_missing,
            interval=None if self.interval_minutes is None else timedelta(minutes=self.interval_minutes),
        )

    @classmethod
    def of(cls, settings: RouteSettings) -> Self:
        """The document that says the same as settings do."""
        interval = settings.interval
        return cls(
            fields=[
                FieldRule(
                    source=one.source,
                    target=None if one.target == one.source else one.target,
                    policy=one.policy,
                )
                for one in settings.fields
            ],
            direction=settings.direction,
            filter=[
                FilterCondition.model_validate(
                    {"field": one.field, "operator": one.operator, "value": one.value}
                )
                for one in settings.filter
            ],
            conflict_policy=settings.conflict_policy,
            match_keys=list(settings.match_keys),
            on_delete=settings.on_delete,
            on_missing=settings.on_missing,
            interval_minutes=None if interval is None else interval // timedelta(minutes=1),
        )
