"""The words that mean fields of ours, as people who name fields in billing, accounting and CRM systems write them.

A line names a field and its kind, and the lines below it the phrases that mean it: sets of words, in any order, in the
singular. A number says how sure a phrase is alone; without one it is 1. Written from general knowledge of the field,
not from one system's documentation. `vocabulary` reads this.
"""

BASE = """
source_id id:
    id, uid:.9, uuid:.9, guid:.9, key:.65, object id:.8, identifier, gid:.8, sys id:.8, message id:.65
created_at moment:
    created, added, inserted, registered, signup, joined, signed up, customer since, member since,
    since:.8, registration:.9, entered:.8, entry date:.7, record created, first seen:.7
updated_at moment:
    updated, last updated, touched:.7, record updated, system updated:.8
deleted_at moment:
    deleted, archived, removed, trashed
is_active bool:
    active, enabled, deleted:.85, archived:.85, disabled:.85, inactive, removed:.8, deactivated:.85,
    status:.75, state:.65, hidden:.65
livemode bool:
    livemode, live mode, live, test, test mode, sandbox, sandbox mode, production:.8
tags list:
    tag, label:.9, keyword:.8, segment:.65
"""

CUSTOMERS = """
email email:
    email, email address, work email, business email, personal email:.8, billing email:.8
emails email:
    email other, email address other, email additional, email alternate, email 2, email 3
name name:
    name, full name, display name, formatted name:.9, first name:.75, last name:.7, nickname:.55
phone phone:
    phone, phone number, work phone, business phone, home phone:.9, phone work, day phone:.8, evening
    phone:.7, office phone, direct phone:.8, landline, fixed phone, phone fixed, mobile:.9,
    mobile phone:.9, mobile number:.9
phones phone:
    phone other, phone number other, phone 2, phone 3, phone alternate, phone additional
company text:
    company, company name, organization, organization name, business name, account name:.85, employer:.8,
    legal name:.75, trade name:.7, trading name:.7, firm:.8, business:.7, billing company:.8
kind word:
    kind, type:.8, customer type, person type, company:.8, legal form:.7, business:.6
tax_number digits:
    tax number, tax id, vat, vat number, vat id, tax identifier, tax registration number, gst number,
    gstin, abn, ein, tin, tax identification number, taxpayer id, fiscal code, cif, nif:.9, siret:.8, tax
    code:.6, tax registration, tax exempt number:.5, tax id value, eu vat, gst, eori:.7, business
    number:.7, company tax id, company vat, vat registration number, vat tax id, sales tax registration
    number
currency currency:
    currency, default currency, preferred currency, billing currency, currency code
description text:
    description, note, comment, memo, remark, about:.8, background:.8, bio:.7
"""

ADDRESS = """
line1 text:
    address, street, line 1, address 1, street 1, line, street line 1, line one, street name:.9, full
    address:.7
line2 text:
    line 2, address 2, street 2, suite:.8, apartment:.8, apt:.8, street line 2, line two, extended:.75,
    additional:.7, street additional, unit:.6, complement:.8, street other
city text:
    city, town, locality, municipality:.9, city name
state text:
    state, province, region:.9, county:.8, administrative area, state province, subdivision, state code,
    province code:.9, country subdivision, prefecture, canton, administrative area level 1, country sub
    division, administrative district, administrative district level 1, admin area:.9
postal_code postcode:
    postcode, postal code, postal, zip postal code, zip, code:.5
country text:
    country, country code, country name, country iso, country iso code
name name:
    name, recipient, addressee, attention, attention to, name of recipient, full name
phone phone:
    phone, phone number
"""

INVOICES = """
customer_id id:
    customer id, customer, client id, client, contact id, contact, buyer id, buyer, payer id, payer:.9,
    debtor id, debtor, account id:.8, account:.7, billed to, bill to id, subscriber id, partner id:.8,
    partner:.8, member id:.8, vendor id:.8, vendor:.8, supplier id:.8, supplier:.8, user id:.7, company
    id:.65, customer key, recipient id:.7, recipient:.65, customer number id, party id:.8, bill to:.9,
    invoice to:.9, sold to:.9, recipient customer id, billed account:.8
invoice_number digits:
    number, invoice number, document number, receipt number:.9, reference number:.75, display id:.7,
    invoice code:.7, serial number:.75, invoice reference:.65, human id:.7, friendly id:.7, display
    number, code:.6, full number, bill number
status word:
    status, state, invoice status, payment status:.85, payment state:.85, stage:.65, document status,
    financial status:.8, billing status:.8
kind word:
    kind, type:.7, invoice type, document type:.9, direction:.8
subtotal money:
    subtotal, sub total, net, net total, untaxed, excluding tax, excl tax, before tax, tax exclusive,
    pretax, net of tax, without tax, ex tax, taxable:.7, item total:.65, ex vat, excl vat, before vat,
    subtotal excluding tax:.8, net price
tax money:
    tax:.95, tax amount, tax total, vat:.95, vat amount, gst, sale tax, sales tax, hst:.8, vat tax, tax
    gst, duty:.6
total money:
    total, grand total, gross, gross total, including tax, incl tax, tax inclusive, with tax, incl vat,
    invoice total, amount:.85, price:.65, value:.6, face amount:.8, sum, after tax, inc tax, order
    total:.8
discount money:
    discount:.95, discount amount, discount total, rebate, reduction, promotion:.65, coupon:.6, discount
    given:.9
amount_due money:
    due, payable, to pay, amount payable, owed:.8, collectible:.7
amount_paid money:
    paid, received, settled:.8, payment:.8, payment made, collected:.8, payed
amount_remaining money:
    remaining, outstanding, balance, balance due, unpaid, open:.9, residual, left, open balance, due
    remaining, remaining due, still due, still to be paid, left to pay, owing, remaining balance,
    outstanding balance, not yet paid, due balance
currency currency:
    currency, invoice currency, currency code, document currency
issue_date moment:
    issue, issued, invoice date, invoice day, voucher date, bill date, document date, transaction date,
    posting:.7, finalized:.75, effective:.75, sent:.6, billed:.85, invoiced:.9, date:.9, issuance, billing
    date:.7, posted:.65
due_date moment:
    due, payment due, pay by, deadline:.8, due by, payable by, to be paid by, maturity:.8
paid_date moment:
    paid, payment:.85, fully paid, settled:.85, paid in full, payed, full payment
line_items lines:
    line item, line, item, invoice line, row, position:.9, entry:.7, product:.7, detail:.65, charge:.65,
    order line:.8, invoice item, order item:.8
memo text:
    memo, note, customer note, customer memo, message, comment, description:.9, remark, narrative:.8,
    public note, customer message, invoice memo, note to customer, subject:.55
hosted_url url:
    hosted, hosted invoice, public, view, payment:.9, pay:.9, checkout, portal:.8, share, online,
    permalink:.9, url:.75, link:.75, invoice:.8, customer portal:.8, online invoice, client view
pdf_url url:
    pdf, invoice pdf, download:.85, pdf download, file:.65, document:.65, print:.6
"""

LINES = """
description text:
    description, name:.85, title:.8, note:.7, product name:.8, memo:.8, text:.8, label:.7
quantity number:
    quantity, count:.7, unit:.6, hour:.65
unit_price money:
    unit price, unit, price:.9, rate, unit amount, unit cost, price each, net price:.7, cost:.7
amount money:
    amount, total, line total, line amount, extended:.7, subtotal:.75, net:.7, sum
source_id id:
    id, line id, item line id, uid, uuid
tax money:
    tax, vat, gst
discount money:
    discount
item_id id:
    item id, product id, sku:.9, price id:.9, product:.75, variant id:.75, plan id:.8, item code:.85,
    product code:.85, item:.7, article number:.8, entity id:.7
period_start moment:
    period start, start, from, service start, starting, begin
period_end moment:
    period end, end, to, service end, ending, until, through
"""

EVENTS = """
event_type word:
    event type, type, event, event name, name:.9, action:.9, topic, kind:.85, verb:.85, activity type,
    event code:.8, metric:.6, event key:.7, alert type:.7, trigger:.7
event_category text:
    category, event category, group:.7, family:.9, class:.7, source type:.55
payload object:
    payload, data, body:.9, detail:.85, property:.85, content:.85, event data, attribute:.8, parameter:.7,
    event property, message:.6, context:.55
user_id id:
    user id, user, actor id, actor, author id, author:.9, performed by, initiated by, triggered by:.9,
    member id:.85, created by id:.8, created by:.75, person id:.8, profile id:.75, subscriber id:.75,
    changed by:.7, owner id:.55, distinct id:.8, customer id:.6, contact id:.6, by:.7, invoker id:.8
resource_type text:
    resource type, object type, entity type, target type, subject type, record type, item type, model:.7,
    resource name:.6, aggregate type, resource:.7, entity:.7, table:.55, target:.6
resource_id id:
    resource id, object id, entity id, target id, subject id, record id, item id, aggregate id, model id,
    resource key:.8, related id:.75, target object id:.8
occurred_at moment:
    occurred, timestamp, time, happened, triggered, published:.8, fired, event time, event date, event
    timestamp, date:.9, performed:.85, created:.8, emitted:.9, logged:.8, raised:.8, action time,
    recorded:.75, sent:.65, generated:.8, started:.65
api_version digits:
    api version, version:.85, schema version:.85, event version:.9
sequence count:
    sequence, seq, sequence number, offset:.8, ordinal:.9, position:.65, event number:.7
"""

RECORDS = """
name name:
    name, title, subject, display name, summary:.8, full name, label:.6
"""

SPELLINGS = """
amt=amount num=number no=number nr=number nbr=number qty=quantity addr=address adr=address
desc=description descr=description org=organization organisation=organization orgs=organization
cust=customer inv=invoice tel=phone telephone=phone cell=mobile cellphone=mobile gsm=mobile
handphone=mobile mobilephone=mobile ccy=currency curr=currency cur=currency ref=reference ts=timestamp
dt=date txn=transaction tx=transaction trx=transaction acct=account tot=total mail=email
emailaddress=email zipcode=postcode zip=postcode plz=postcode eircode=postcode pincode=postcode
postalcode=postcode seq=sequence ver=version attn=attention modified=updated modify=updated
modification=updated changed=updated change=updated edited=updated update=updated write=updated
reg=registration fname=first_name lname=last_name lastmodified=updated revised=updated create=created
creation=created add=added insert=inserted register=registered enabled=active enable=active
activated=active exclusive=excluding excl=excluding inclusive=including incl=including fullname=full_name
firstname=first_name lastname=last_name surname=last_name familyname=last_name givenname=first_name
given=first forename=first_name family=last issuing=issue line1=line_1 secondary=other alternate=other
alternative=other additional=other another=other second=other remarks=remark deduction=discount
cancelled=canceled suburb=city pdfs=pdf html=web uri=url href=url weburl=web_url taxid=tax_id vatid=vat_id
vatnumber=vat_number shipto=ship_to billto=bill_to occurrence=occurred occured=occurred btw=vat mwst=vat
tva=vat iva=vat ust=vat strasse=street ort=city land=country firma=company betreff=subject
"""
"""Other spellings of a word, and abbreviations; an underscore stands between two words."""
