"""A stand-in for Salesforce's REST API: accounts, contacts and invoices, read by SOQL and written in collections."""

from unified.sandbox.salesforce.api import SalesforceSandbox
from unified.sandbox.salesforce.org import Org

__all__ = ["Org", "SalesforceSandbox"]
