"""Outbound Messages as Salesforce sends them: SOAP, unsigned, a hundred notifications at most, repeated for a day.

Source: https://developer.salesforce.com/docs/atlas.en-us.api.meta/api/sforce_api_om_outboundmessaging_wsdl.htm. A
message holds the latest state of a record, also where several changes led to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from unified.sandbox.salesforce.fields import identifier
from unified.sandbox.webhooks import Endpoint, Record, WebhookForm

if TYPE_CHECKING:
    from collections.abc import Sequence

_ENVELOPE = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" \
xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
 <soapenv:Body>
  <notifications xmlns="http://soap.sforce.com/2005/09/outbound">
   <OrganizationId>{organization}</OrganizationId>
   <ActionId>{action}</ActionId>
   <SessionId xsi:nil="true"/>
   <EnterpriseUrl>https://acme.my.salesforce.com/services/Soap/c/68.0/{organization}</EnterpriseUrl>
   <PartnerUrl>https://acme.my.salesforce.com/services/Soap/u/68.0/{organization}</PartnerUrl>
{notifications}
  </notifications>
 </soapenv:Body>
</soapenv:Envelope>
"""
_NOTIFICATION = """   <Notification>
    <Id>{id}</Id>
    <sObject xsi:type="sf:{object}" xmlns:sf="urn:sobject.enterprise.soap.sforce.com">
{fields}
    </sObject>
   </Notification>"""
_HOUR = 3600.0


class OutboundMessages(WebhookForm):
    """What a record-triggered flow or a workflow rule sends; the endpoint's secret is the organization's id."""

    batch = 100
    timeout = 60.0

    def pauses(self, key: str) -> Sequence[float]:
        """Again and again for a day, at most two hours apart."""
        del key
        return (15.0, 60.0, 600.0, _HOUR, *(2 * _HOUR,) * 11)

    def body(self, events: Sequence[Record], attempt: int) -> bytes:
        """One notification for each change."""
        del attempt
        return envelope(events, identifier("00D", 1))

    def headers(self, endpoint: Endpoint, body: bytes, now: float) -> dict[str, str]:
        """Nothing proves who sends it."""
        del endpoint, body, now
        return {"content-type": "text/xml; charset=utf-8", "soapaction": '""'}


def envelope(events: Sequence[Record], organization: str) -> bytes:
    """The message that says of some changes, of an organization."""
    notifications = "\n".join(
        _NOTIFICATION.format(
            id=identifier("04l", event["serial"]),
            object=event["object"],
            fields="\n".join(
                f"     <sf:{name}>{escape(str(value))}</sf:{name}>"
                for name, value in event["record"].items()
                if name in ("Id", "SystemModstamp", "AccountId", "InvoiceId") and value is not None
            ),
        )
        for event in events
    )
    action = identifier("04k", 1)
    return _ENVELOPE.format(organization=organization, action=action, notifications=notifications).encode()
