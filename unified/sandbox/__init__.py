"""Stand-ins for the providers' HTTP APIs: the demo, the tests and the benchmarks talk to these.

Here: believable data of any size, the documented reading behaviour of each API, faults on demand, and
oracles that say what a complete copy must hold. `tables` makes a stand-in from a declaration. Not here: anything
that the product needs in production.

    from unified.sandbox.server import SandboxServer
    from unified.sandbox.stripe import StripeSandbox

    with SandboxServer(stripe=StripeSandbox(customers=500, invoices=800)) as server:
        base_url = f"{server.url}/stripe"
"""
