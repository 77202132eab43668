"""Lists of words that normalisation goes by: providers of mail, addresses of offices, legal forms, titles, streets."""


def _listed(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Providers whose own documentation says that what follows a + is ignored.
PLUS_IGNORED = _listed(
    """
    fastmail.com gmail.com hotmail.com icloud.com live.com mac.com me.com outlook.com pm.me proton.me
    protonmail.com
    """
)

# The only one where dots are certain not to count (https://support.google.com/mail/answer/7436150).
DOTS_IGNORED = frozenset(["gmail.com"])
SAME_DOMAIN = {"googlemail.com": "gmail.com"}

# Who reads these is an office, not a person, and often an agency's for many customers. Written without separators.
ROLES = _listed(
    """
    abuse accounting accounts accountspayable accountsreceivable admin administracion administration
    administrator ap ar bestellung billing buchhaltung careers commercial compta comptabilite contabilidad
    contabilita contact contacto customercare customerservice dev donotreply einkauf email enquiries facturacion
    facturas facturation fatture finance finanzen hello help helpdesk hostmaster hr info information inquiries
    invoice invoices invoicing it jobs kontakt legal mail mailerdaemon marketing media nobody noemail none
    noreply null office ops order orders payable payables payment payments payroll postmaster press privacy
    procurement purchasing reception rechnung rechnungen root sales security service support team tech test
    unknown user ventas verwaltung webmaster
    """
)

# Where anybody gets an address: the domain says nothing about whom one works for.
FREE_MAIL = _listed(
    """
    126.com 163.com aol.com att.net bellsouth.net bigpond.com bluewin.ch bol.com.br btinternet.com charter.net
    comcast.net cox.net daum.net fastmail.com foxmail.com free.fr freenet.de gmail.com googlemail.com
    hanmail.net hetnet.nl hey.com hispeed.ch icloud.com ig.com.br interia.pl juno.com kpnmail.nl laposte.net
    libero.it mac.com mail.com mail.ru mailbox.org me.com msn.com naver.com ntlworld.com o2.pl onet.pl
    optusnet.com.au orange.fr planet.nl pm.me posteo.de proton.me protonmail.com qq.com rediffmail.com
    rocketmail.com rogers.com sbcglobal.net seznam.cz sfr.fr shaw.ca sina.com sky.com skynet.be sympatico.ca
    t-online.de telenet.be terra.com.br tiscali.it tuta.com tutanota.com uol.com.br verizon.net virgilio.it
    virginmedia.com wanadoo.fr web.de wp.pl xs4all.nl ymail.com ziggo.nl
    """
)

# The same, under many top-level domains.
FREE_MAIL_NAMES = _listed(
    """
    aol gmx hotmail live outlook yahoo yandex zoho
    """
)

# What a company's name ends in besides its name.
LEGAL_FORMS = _listed(
    """
    ab ag aps as asa bv co company corp corporation eood gmbh inc incorporated kft kg kk limited llc llp lp ltd
    ltda mbh nv og ohg ooo oy oyj plc pte pty sa sarl sas sasu sl slu spa spol srl srls sro ug
    """
)

# What stands before a person's name.
TITLES = _listed(
    """
    dr frau herr mme mr mrs ms prof professor sir
    """
)

# Words for streets, and how they are cut short.
STREETS = {
    "avenue": "ave", "boulevard": "blvd", "circuit": "cct", "close": "cl", "court": "ct", "crescent": "cres",
    "drive": "dr", "lane": "ln", "parade": "pde", "place": "pl", "platz": "pl", "road": "rd", "square": "sq",
    "strasse": "str", "street": "st", "terrace": "tce",
}  # fmt: skip

# Letters that do not come apart into a letter and its accent.
FOLDED = str.maketrans(
    {"æ": "ae", "œ": "oe", "ø": "o", "đ": "d", "ł": "l", "\u0131": "i", "þ": "th", "ð": "d"}
)
