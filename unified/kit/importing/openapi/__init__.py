"""Descriptions of APIs by OpenAPI 3.0 and 3.1, as drafts of connector documents. Nothing is fetched.

`spec` reads a file and follows its references, `access` says to which host requests go and how they are signed, `lists`
finds operations that list records, with how their pages and changes are asked for, and `draft` puts that together.
The format: https://spec.openapis.org/oas/latest.html
"""
