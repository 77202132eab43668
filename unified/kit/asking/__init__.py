"""One question to a language model of whatever provider: within which limits, and what may come of it.

Not here: what is asked (`unified.kit.proposing.question`), and who may ask how much (`unified.sync.remapping.asking`).
"""
