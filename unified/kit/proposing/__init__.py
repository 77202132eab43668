"""Rules proposed from what the fields of a foreign object are called and hold. Deterministic; no model is asked.

`fields` describes an object, from stored records or from a schema. `words` splits names, `vocabulary` knows which words
mean which field of ours, `evidence` weighs types and samples, `matching` chooses, and `drafting` writes the rules.

A proposal is a proposal: a person decides. Not here: the rule language (`unified.kit.mapping`), and what a person
decides about proposals (`unified.sync.remapping.proposals`).
"""
