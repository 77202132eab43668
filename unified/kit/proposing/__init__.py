"""Rules proposed from what the fields of a foreign object are called and hold, by a matcher alone or beside a model.

`fields` describes an object, from stored records or from a schema. `words` splits names, `vocabulary` knows which words
mean which field of ours, `evidence` weighs types and samples, `matching` chooses, and `drafting` writes the rules. All
of that is deterministic. `question` is what a model may be shown, and `choices` what holds of its answer.

A proposal is a proposal: a person decides. Not here: the rule language (`unified.kit.mapping`), how a model is reached
(`unified.kit.asking`), and what a person decides about proposals (`unified.sync.remapping.proposals`).
"""
