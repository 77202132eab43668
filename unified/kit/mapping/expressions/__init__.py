"""Expressions in ``{{ }}``: Jinja's syntax, our own evaluation over JSON values, with limits.

`compiling` makes functions of what Jinja's parser read, `operators` and `functions` are all that they can do. No code
is generated, nothing has attributes, and there are no statements.
"""
