"""The management API: what people and machines do to their workspaces over HTTP. No SQL, no syncing.

`app` puts it together, `route` is what every request goes through, `access/` says who may, `endpoints/` has what each
path does.
"""
