"""What people open in a browser: connections, records and webhooks of their workspace. No SQL, no syncing.

`app` puts it together; `route` is what every page goes through; `session` keeps people signed in. What the pages do is
what the API's routes do: they call the same functions, with the same permissions.
"""
