from tests.api.conftest import Ingress
async def test_one(ingress: Ingress) -> None:
    a = await ingress.deliver("evt_1")
    assert a.status_code == 200, a.text
    print(a.headers)
    assert await ingress.stored() == ["evt_1"]
