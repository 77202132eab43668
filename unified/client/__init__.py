"""A client of the records API: customers, invoices, events, records and identities as typed rows and as frames.

    from unified.client import Client

    with Client("https://unified.example.com", token) as client:
        for customer in client.customers.all(currency="EUR"):
            print(customer.name)

:class:`AsyncClient` is the same with ``await``; :func:`local` and :func:`local_async` read the installation on this
machine without a server. docs/client.md has more.
"""

from unified.client.clients import AsyncClient, AsyncReader, Client, Reader, local, local_async
from unified.client.errors import (
    BusyError,
    ClientError,
    NotFoundError,
    NotPermittedError,
    StartAgainError,
    UnreachableError,
    UnusableQueryError,
)
from unified.client.models import Connector, Customer, Event, Identity, Invoice, Record

__all__ = [
    "AsyncClient",
    "AsyncReader",
    "BusyError",
    "Client",
    "ClientError",
    "Connector",
    "Customer",
    "Event",
    "Identity",
    "Invoice",
    "NotFoundError",
    "NotPermittedError",
    "Reader",
    "Record",
    "StartAgainError",
    "UnreachableError",
    "UnusableQueryError",
    "local",
    "local_async",
]
