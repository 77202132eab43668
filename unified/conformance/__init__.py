"""What every adapter must pass, run by one line of an adapter's own tests.

    from unified.conformance.suite import conformance

    TestChargebee = conformance(ChargebeeBench)

`bench` is what an adapter's author fills in, `suite` makes tests of the checks. Needs pytest, which the product does
not install; nothing of the product imports this. It stands on the kit and on the stand-ins (`unified.sandbox`).
"""
