"""A stand-in for Jira Cloud and its service desk; `api` serves it, `records` and `account` hold a site's data."""

from unified.sandbox.jira.api import JiraSandbox

__all__ = ["JiraSandbox"]
