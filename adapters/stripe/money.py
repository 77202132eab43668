"""Stripe's amounts: integers in a minor unit whose digits are Stripe's own, not ISO 4217's.

See https://docs.stripe.com/currencies (zero-decimal and three-decimal currencies, special cases).
"""

from unified.schema.money import MinorUnits

# Digits of Stripe's minor unit where they are not two, and two wherever ISO 4217 says otherwise: ISK and
# UGX have no coin smaller than 1, yet Stripe counts them in hundredths that are always 00.
_ZERO_DECIMAL = "BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF"
_THREE_DECIMAL = "BHD JOD KWD OMR TND"
_TWO_DECIMAL_AT_STRIPE = "CLF IQD ISK LYD UGX UYI UYW"
MINOR_UNITS = {
    **dict.fromkeys(_ZERO_DECIMAL.split(), 0),
    **dict.fromkeys(_THREE_DECIMAL.split(), 3),
    **dict.fromkeys(_TWO_DECIMAL_AT_STRIPE.split(), 2),
}
UNITS = MinorUnits(MINOR_UNITS, usual=2)
