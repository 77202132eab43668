"""Identities: which customers of a workspace's sources are one person or company, and why.

`normalize` writes values in one form, `rules` says which of them make two records one, `clusters` joins records by
them, `golden` picks the best value of each field, `resolve` does all of it for what has changed. SQL is in `store`.
"""
