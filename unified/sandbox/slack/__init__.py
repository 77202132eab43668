"""A stand-in for Slack: its Web API, and the events that it sends.

`records` generates people, conversations and messages, `account` changes them, `events` announces that, and `api`
answers as Slack does.
"""

from unified.sandbox.slack.api import SlackSandbox

__all__ = ["SlackSandbox"]
